"""The program's plugins: the kinds of component, the hooks, and what is installed."""
