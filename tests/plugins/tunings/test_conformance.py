from built_in import suites

globals().update(suites("tuning"))
