"""``mft spec import``: configs of other toolkits become specs."""
