"""What the portal remembers. Importing this package makes every table known to `Base.metadata`."""

from portal.models.account import Account, Token
from portal.models.backend import Backend, Worker
from portal.models.job import Job, JobRevision, Step
from portal.models.submission import Attempt, Batch, Letter, LogChunk, Message, Result, Run, Submission, Upload
from portal.models.task import Configuration, Parameter, Task, TaskRevision, Variable

__all__ = [
    "Account",
    "Attempt",
    "Backend",
    "Batch",
    "Configuration",
    "Job",
    "JobRevision",
    "Letter",
    "LogChunk",
    "Message",
    "Parameter",
    "Result",
    "Run",
    "Step",
    "Submission",
    "Task",
    "TaskRevision",
    "Token",
    "Upload",
    "Variable",
    "Worker",
]
