"""The data path: from files to memory-mapped token samples."""
