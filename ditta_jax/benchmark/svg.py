"""Plots as SVG text: bars and lines, so that the benchmark needs no plotting library."""

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 28, 44
COLOURS = ("#888888", "#c98b2b", "#b5523b", "#2b6cb0")


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """Horizontal bars with their values; one panel of `page`."""
    longest = max(values.values())
    lines = [_text(8, 18, title, size=13)]
    for index, (name, value) in enumerate(values.items()):
        y = TOP + 12 + 44 * index
        width = max(1.0, (WIDTH - 110) * value / longest)
        colour = COLOURS[index % len(COLOURS)]
        lines.append(_text(8, y, name))
        lines.append(f'<rect x="8" y="{y + 5}" width="{width:.1f}" height="16" fill="{colour}"/>')
        lines.append(_text(14 + width, y + 18, f"{value:.3g} {unit}"))
    return "\n".join(lines)


def curve(title: str, x_name: str, x: Sequence[float], y: Sequence[float], unit: str) -> str:
    """A line through measured points, both axes from 0; one panel of `page`."""
    high_x, high_y = max(x), max(y) * 1.1
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(a: float, b: float) -> tuple[float, float]:
        return LEFT + width * a / high_x, TOP + height * (1 - b / high_y)

    points = [place(a, b) for a, b in zip(x, y, strict=True)]
    (left, bottom), (right, top) = place(0, 0), place(high_x, high_y)
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    lines = [
        _text(8, 18, title, size=13),
        f'<path d="M{left},{top} L{left},{bottom} L{right},{bottom}" fill="none" stroke="black"/>',
        f'<polyline points="{path}" fill="none" stroke="{COLOURS[3]}" stroke-width="2"/>',
    ]
    for (a, b), value, result in zip(points, x, y, strict=True):
        lines.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{COLOURS[3]}"/>')
        lines.append(_text(a - 14, b - 7, f"{result:.3g}", size=10))
        lines.append(_text(a - 10, bottom + 14, f"{value:g}", size=10))
    lines.append(_text(left, bottom + 34, f"{x_name}   ({unit})"))
    return "\n".join(lines)


def page(panels: Sequence[str], columns: int = 2) -> str:
    """Panels side by side, as a complete SVG file."""
    rows = -(-len(panels) // columns)
    width, height = columns * WIDTH, rows * HEIGHT
    placed = [
        f'<g transform="translate({i % columns * WIDTH},{i // columns * HEIGHT})">{panel}</g>'
        for i, panel in enumerate(panels)
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *placed, "</svg>\n"])


def _text(x: float, y: float, text: str, size: int = 11) -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    place = f'x="{x:.1f}" y="{y:.1f}" font-family="sans-serif" font-size="{size}"'
    return f"<text {place}>{escaped}</text>"
