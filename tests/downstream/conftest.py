"""The packages have tests of their own, which run against this version in a process of their own."""

collect_ignore_glob = ["packages-*"]
