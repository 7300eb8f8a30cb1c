"""Reports: the pages about runs, read from their folders."""
