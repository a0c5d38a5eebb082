"""Report: one self-contained HTML page in which a run can be read and looked at."""
