"""Parts of HTML pages: plots, tables, colours, and the templates that they are set into."""
