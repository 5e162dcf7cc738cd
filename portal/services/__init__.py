"""What can be done: functions of a database session. Pages, API, commands and workers all come through here."""
