"""Tasks from Python source: functions (corpus), what is asked about them (tasks), bugs put in (mutations)."""
