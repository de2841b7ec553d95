"""Tasks from Python source: functions (corpus), questions about them (tasks), inserted bugs (mutations)."""
