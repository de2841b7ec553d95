"""``report.html``: one self-contained page about a run, several runs, or a comparison.

plotly is imported when a page is written; nothing here needs torch, so that a page takes a moment.
"""
