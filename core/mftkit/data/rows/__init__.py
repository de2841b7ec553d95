"""From files and data sets to rows."""
