/* Numbers in words and in colours. */

const wide = (value) => (typeof value === "string" ? Number(value) : value);

const said = (value, digits = 7) => {
  const number = wide(value);
  if (Number.isNaN(number)) return "NaN";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  const text = String(Number(number.toPrecision(digits)));
  return (Object.is(number, -0) ? "-0" : text).replace(/^-/, "−").replace("e-", "e−").replace("e+", "e");
};

const palette = () => {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const long = (hex) => (hex.length === 4 ? "#" + [...hex.slice(1)].map((c) => c + c).join("") : hex);
  const rgb = (name) => [1, 3, 5].map((at) => parseInt(long(colour(name)).slice(at, at + 2), 16));
  return {
    negative: rgb("--negative"), middle: rgb("--middle"), positive: rgb("--positive"),
    ink: long(colour("--ink")), muted: long(colour("--muted")), cursor: long(colour("--cursor")), card: long(colour("--card")),
  };
};

const shade = (colours, share) => {
  const end = share < 0 ? colours.negative : colours.positive;
  const t = Math.min(Math.abs(share), 1) ** 0.6; // so that small values can be told from 0; the bar below has it too
  return colours.middle.map((from, i) => Math.round(from + (end[i] - from) * t));
};

const readable = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000000" : "#ffffff");
