"""Parts of HTML pages: plots, tables, colors, and the templates that they are set into."""
