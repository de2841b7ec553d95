"""Validation loss by step, a panel for each task, as an SVG that can be read on dark and light pages."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from results import short

if TYPE_CHECKING:
    from results import Results

COLORS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1")
WIDTH, HEIGHT, LEFT, TOP = 230, 150, 45, 28
Curve = list[tuple[float, float]]


def curves(results: Results, arms: tuple[str, ...]) -> dict[str, dict[str, Curve]]:
    """Task to arm to points: share of the run's planned end, mean loss over seeds."""
    found: dict[str, dict[str, Curve]] = {}
    for arm in results.arms:
        if short(arm) not in arms:
            continue
        points: dict[str, dict[float, list[float]]] = {}
        for run in arm["runs"]:
            lines = [line for line in results.metrics(run) if line["event"] == "valid"]
            epochs = {
                line["step"]: line["epoch"] for line in results.metrics(run) if line["event"] == "train"
            }
            for line in lines:
                epoch = 0.0 if line["step"] == 0 else epochs.get(line["step"])
                for task, value in line["tasks"].items():
                    if epoch is not None:
                        points.setdefault(task, {}).setdefault(round(epoch, 2), []).append(value["loss"])
        for task, by_epoch in points.items():
            curve = [(epoch, fmean(losses)) for epoch, losses in sorted(by_epoch.items())]
            found.setdefault(task, {})[short(arm)] = curve
    return found


def draw(found: dict[str, dict[str, Curve]], arms: tuple[str, ...]) -> str:
    """The panels, three a row, with one legend."""
    rows = -(-len(found) // 3)
    width, height = 3 * (WIDTH + LEFT) + 10, rows * (HEIGHT + TOP + 22) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11" fill="#808080" role="img" aria-label="Validation loss by epoch, a panel for each task">'
    ]
    for index, arm in enumerate(arms):
        x = LEFT + index * 150
        parts.append(
            f'<path d="M{x} 10h20" stroke="{COLORS[index]}" stroke-width="2"/><text x="{x + 25}" y="14">{arm}</text>'
        )
    for index, (task, by_arm) in enumerate(found.items()):
        x, y = index % 3 * (WIDTH + LEFT) + LEFT, index // 3 * (HEIGHT + TOP + 22) + TOP + 16
        parts.append(f'<g transform="translate({x},{y})">{_panel(task, by_arm, arms)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(task: str, by_arm: dict[str, Curve], arms: tuple[str, ...]) -> str:
    points = [point for curve in by_arm.values() for point in curve if point[0] > 0]
    points = points or [(1.0, 0.0)]
    right = max(point[0] for point in points)
    low, high = min(point[1] for point in points), max(point[1] for point in points)
    size = (high - low) or 1.0
    lines = [
        f'<text x="0" y="-6" font-weight="bold">{task}</text>',
        f'<path d="M0 0V{HEIGHT}H{WIDTH - 20}" fill="none" stroke="#808080"/>',
        f'<text x="-5" y="10" text-anchor="end">{high:.2f}</text>',
        f'<text x="-5" y="{HEIGHT}" text-anchor="end">{low:.2f}</text>',
        f'<text x="{WIDTH - 20}" y="{HEIGHT + 14}" text-anchor="end">epoch {right:g}</text>',
    ]
    for arm, curve in by_arm.items():
        path = " ".join(
            f"{epoch / right * (WIDTH - 20):.1f},{(high - loss) / size * (HEIGHT - 8) + 4:.1f}"
            for epoch, loss in curve
            if epoch > 0
        )
        lines.append(
            f'<polyline points="{path}" fill="none" stroke="{COLORS[arms.index(arm)]}" stroke-width="2"/>'
        )
    return "".join(lines)
