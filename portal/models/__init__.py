"""What the portal remembers. Importing this package makes every table known to `Base.metadata`."""

from portal.models.account import Account, Group, Membership, Token
from portal.models.audit import Audit
from portal.models.backend import Backend, Worker
from portal.models.job import Job, JobRevision, Step
from portal.models.secret import Secret
from portal.models.share import Share
from portal.models.submission import Attempt, Batch, Letter, LogChunk, Message, Result, Run, Submission, Upload
from portal.models.task import Configuration, Parameter, Task, TaskRevision, Variable

__all__ = [
    "Account",
    "Attempt",
    "Audit",
    "Backend",
    "Batch",
    "Configuration",
    "Group",
    "Job",
    "JobRevision",
    "Letter",
    "LogChunk",
    "Membership",
    "Message",
    "Parameter",
    "Result",
    "Run",
    "Secret",
    "Share",
    "Step",
    "Submission",
    "Task",
    "TaskRevision",
    "Token",
    "Upload",
    "Variable",
    "Worker",
]
