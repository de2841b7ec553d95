"""``mft compare``: one spec trained in several ways, and a table of what each task came to."""
