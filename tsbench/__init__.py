"""tsbench: which sequence model works for which data, at what cost, and is the difference real?"""

__version__ = "0.1.0"
