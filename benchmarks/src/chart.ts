/** The line and the bar of one system; `emphasis` is for our own. */
export interface Series {
  readonly title: string;
  readonly emphasis: boolean;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly bar: number;
}

export interface ChartText {
  readonly title: string;
  readonly subtitle: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly barLabel: string;
  readonly formatBar: (value: number) => string;
}

const WIDTH = 960;
const TOP = 92;
const PLOT = { left: 64, width: 400, height: 300 };
const BARS = { left: 690, width: 180 };

/** Colours that most people can tell apart, on white and on black (after Okabe and Ito). Our own have colours of their own. */
const COLOURS = ["#8a8a8a", "#b07aa1", "#e69f00", "#56b4e9", "#cc79a7", "#999933", "#a6761d", "#6a8fd8"];
const EMPHASISED = ["#0a9e73", "#d55e00"];

/**
 * Draws lines on logarithmic scales at the left, and bars at the right, which are the legend of the lines too. Text and axes
 * follow the reader's colour scheme, light or dark.
 */
export function drawChart(series: readonly Series[], text: ChartText): string {
  const ys = series.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y > 0);
  const xs = series.flatMap(({ points }) => points.map(([x]) => x));
  const yScale = logScale(Math.min(...ys), Math.max(...ys), TOP + PLOT.height, TOP);
  const xMax = Math.max(...xs);
  const x = (value: number) => PLOT.left + (value / xMax) * PLOT.width;
  const step = Math.min(34, PLOT.height / series.length);
  const barScale = logScale(
    Math.min(...series.map(({ bar }) => bar).filter((bar) => bar > 0)),
    Math.max(...series.map(({ bar }) => bar)),
    24,
    BARS.width,
  );

  const parts = [
    `<text class="title" x="16" y="30">${escaped(text.title)}</text>`,
    `<text class="quiet" x="16" y="52">${escaped(text.subtitle)}</text>`,
    `<text class="quiet" x="${PLOT.left}" y="${TOP - 14}">${escaped(text.yLabel)}</text>`,
    `<text class="quiet" x="${PLOT.left + PLOT.width}" y="${TOP + PLOT.height + 38}" text-anchor="end">${escaped(text.xLabel)}</text>`,
    `<text class="quiet" x="${BARS.left}" y="${TOP - 14}">${escaped(text.barLabel)}</text>`,
  ];
  for (const tick of yScale.ticks) {
    const y = round(yScale.at(tick));
    parts.push(`<line class="grid" x1="${PLOT.left}" x2="${PLOT.left + PLOT.width}" y1="${y}" y2="${y}"/>`);
    parts.push(`<text class="quiet" x="${PLOT.left - 8}" y="${y + 4}" text-anchor="end">${tick}</text>`);
  }
  for (const fraction of [0, 0.25, 0.5, 0.75, 1]) {
    const value = Math.round(xMax * fraction);
    const y = TOP + PLOT.height + 18;
    parts.push(`<text class="quiet" x="${round(x(value))}" y="${y}" text-anchor="middle">${value}</text>`);
  }
  const colours = coloursOf(series);
  for (const [index, { title, emphasis, points, bar }] of series.entries()) {
    const colour = colours[index];
    const width = emphasis ? 3.5 : 1.75;
    const path = points.filter(([, y]) => y > 0).map(([px, py]) => `${round(x(px))},${round(yScale.at(py))}`);
    if (path.length > 1) {
      parts.push(`<polyline points="${path.join(" ")}" fill="none" stroke="${colour}" stroke-width="${width}"/>`);
    }
    const y = TOP + index * step;
    const weight = emphasis ? ' font-weight="bold"' : "";
    parts.push(
      `<text x="${BARS.left - 10}" y="${round(y + step / 2 + 4)}" text-anchor="end"${weight}>${escaped(title)}</text>`,
    );
    if (bar > 0) {
      const length = round(barScale.at(bar));
      parts.push(
        `<rect x="${BARS.left}" y="${round(y + 4)}" width="${length}" height="${round(step - 8)}" rx="2" fill="${colour}"/>`,
      );
      parts.push(
        `<text class="quiet" x="${BARS.left + length + 6}" y="${round(y + step / 2 + 4)}">${escaped(text.formatBar(bar))}</text>`,
      );
    } else {
      parts.push(`<rect x="${BARS.left}" y="${round(y + step / 2 - 1)}" width="16" height="2" fill="${colour}"/>`);
    }
  }
  const height = TOP + PLOT.height + 56;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(text.title)}">
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-size: 18px; font-weight: 600; }
.quiet { font-size: 12px; fill: #59636e; }
.grid { stroke: #d1d9e0; }
@media (prefers-color-scheme: dark) { text { fill: #f0f6fc; } .quiet { fill: #9198a1; } .grid { stroke: #3d444d; } }
</style>
${parts.join("\n")}
</svg>
`;
}

function coloursOf(series: readonly Series[]): (string | undefined)[] {
  const next = { ours: 0, others: 0 };
  return series.map(({ emphasis }) =>
    emphasis ? EMPHASISED[next.ours++ % EMPHASISED.length] : COLOURS[next.others++ % COLOURS.length],
  );
}

function logScale(min: number, max: number, from: number, to: number) {
  const low = Math.floor(Math.log10(min));
  const high = Math.max(low + 1, Math.ceil(Math.log10(max)));
  return {
    at: (value: number) => from + ((Math.log10(value) - low) / (high - low)) * (to - from),
    ticks: Array.from({ length: high - low + 1 }, (_, index) => Number((10 ** (low + index)).toPrecision(1))),
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
