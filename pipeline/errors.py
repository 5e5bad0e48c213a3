"""The errors of the pipeline package.

PipelineError
├── ConfigError     a setting is wrong; the message names the key, the value and what would be right (exit status 2)
├── DatasetError    a dataset on disk is missing, unfinished or damaged; the message names the file and the fix
└── DiskError       the dataset's folder cannot be written any more (full, read-only); rerun to continue
"""


class PipelineError(Exception):
    """Base of every error the pipeline package raises on purpose."""


class ConfigError(PipelineError):
    """A setting is wrong: the message names the key, the value and what would be right."""


class DatasetError(PipelineError):
    """A dataset on disk is missing, unfinished or damaged: the message names the file and the fix."""


class DiskError(PipelineError):
    """The dataset's folder cannot be written: the message names the folder and how to continue."""
