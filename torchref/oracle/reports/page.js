/* Heat maps on canvas. Maps of one view share their slice and their cursor; colours come from the style sheet. */
(() => {
  const AXIS = 22; // room for indices on the left and on top
  const NUMBERED = 31; // cells of this size have their numbers in them
  const data = JSON.parse(document.getElementById("data").textContent);
  const views = [];

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  class View {
    constructor(spec, tensor, home) {
      Object.assign(this, spec);
      this.tensor = tensor;
      this.rank = this.shape.length;
      this.rows = this.rank > 1 ? this.shape[this.rank - 2] : 1;
      this.columns = this.rank > 0 ? this.shape[this.rank - 1] : 1;
      this.worst = [...this.at];
      this.empty = this.shape.includes(0);
      this.difference = this.maps.find((map) => map.name === "difference");
      this.build(home);
    }

    get leading() { return Math.max(this.rank - 2, 0); }

    offset(index) { return this.shape.reduce((sum, n, axis) => sum * n + index[axis], 0); }

    index(row, column) {
      const index = [...this.at];
      if (this.rank > 1) index[this.rank - 2] = row;
      if (this.rank > 0) index[this.rank - 1] = column;
      return index;
    }

    cell() { return [this.rank > 1 ? this.at[this.rank - 2] : 0, this.rank > 0 ? this.at[this.rank - 1] : 0]; }

    label(axis) { return this.axes[axis] || `axis ${axis}`; }

    material(offset) {
      if (!this.difference) return false;
      const value = wide(this.difference.values[offset]);
      return Number.isNaN(value) || Math.abs(value) > 1e-6 * this.difference.scale;
    }

    /* Whether anything differs visibly in the slices with this index on a leading axis, the others as they are. */
    differs(axis, i) {
      for (let row = 0; row < this.rows; row++) {
        for (let column = 0; column < this.columns; column++) {
          const index = this.index(row, column);
          index[axis] = i;
          if (this.material(this.offset(index))) return true;
        }
      }
      return false;
    }

    build(home) {
      if (this.empty) {
        home.append(make("p", { className: "cut", textContent: "There are no entries to draw." }));
        return;
      }
      this.choosers = [];
      const slices = make("div", { className: "slices" });
      for (let axis = 0; axis < this.leading; axis++) {
        if (this.shape[axis] === 1) {
          slices.append(make("span", { className: "fixed", textContent: `${this.label(axis)} ${this.start[axis]}` }));
          continue;
        }
        const select = make("select", { onchange: () => { this.at[axis] = select.selectedIndex; this.draw(); } });
        for (let i = 0; i < this.shape[axis]; i++) select.append(make("option"));
        this.choosers.push([axis, select]);
        slices.append(make("label", {}, `${this.label(axis)} `, select));
      }
      if (this.leading) home.append(slices);
      const row = make("div", { className: "row" });
      this.canvases = this.maps.map((map) => {
        const canvas = make("canvas", { tabIndex: 0 });
        canvas.setAttribute("role", "application");
        canvas.setAttribute("aria-roledescription", "heat map");
        canvas.addEventListener("keydown", (event) => this.key(event));
        for (const kind of ["pointermove", "pointerdown"]) canvas.addEventListener(kind, (event) => this.point(event, canvas));
        const caption = make("figcaption", {}, map.name);
        if (map.name === "difference") caption.append(make("span", { textContent: " (mine − oracle)" }));
        const ends = said(map.scale, 3);
        const bar = make("div", { className: "bar" }, `−${ends}`, make("i"), `+${ends}`);
        bar.setAttribute("aria-hidden", "true");
        if (map === this.difference) {
          this.dots = make("span", { textContent: "• differs" });
          bar.append(this.dots);
        }
        if (!map.scale) bar.replaceChildren("all finite ones are 0");
        row.append(make("figure", {}, caption, canvas, bar));
        return canvas;
      });
      this.output = make("output");
      this.output.setAttribute("aria-live", "polite");
      home.append(row, this.output);
      if (this.cut) {
        const parts = this.start.map((from, axis) => `${this.label(axis)} ${from}–${from + this.shape[axis] - 1}`);
        const text = `Cut from ${this.full.join(" × ")} to a window around the worst element: ${parts.join(", ")}.`;
        home.append(make("p", { className: "cut", textContent: text }));
      }
      this.draw();
    }

    /* The side of a cell in pixels: three maps in a row where that leaves cells one can see, else one below the other. */
    measure() {
      const room = this.canvases[0].closest(".view").clientWidth || 900;
      const beside = (room - 20 * (this.maps.length - 1)) / this.maps.length;
      const fit = (width) => Math.floor((width - AXIS - 2) / this.columns);
      const size = room >= 560 && fit(beside) >= Math.min(12, 250 / this.columns) ? fit(beside) : fit(room);
      return Math.max(3, Math.min(size, this.rows > 24 ? 14 : room >= 560 ? 46 : 32));
    }

    draw() {
      if (this.empty) return;
      for (const [axis, select] of this.choosers) {
        [...select.options].forEach((option, i) => {
          option.textContent = `${i + this.start[axis]}${this.differs(axis, i) ? " •" : ""}`;
        });
        select.selectedIndex = this.at[axis];
      }
      const colours = palette();
      const size = this.measure();
      if (this.dots) this.dots.hidden = size >= NUMBERED;
      this.canvases.forEach((canvas, i) => this.paint(canvas, this.maps[i], size, colours));
      this.tell();
    }

    paint(canvas, map, size, colours) {
      const ratio = window.devicePixelRatio || 1;
      const height = Math.max(size, this.rows === 1 ? 24 : 0);
      const [width, tall] = [AXIS + this.columns * size + 2, AXIS + this.rows * height + 2];
      canvas.cell = [size, height];
      Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(tall * ratio) });
      Object.assign(canvas.style, { width: `${width}px` });
      const pen = canvas.getContext("2d");
      pen.scale(ratio, ratio);
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      this.ticks(pen, size, height, colours);
      for (let row = 0; row < this.rows; row++) {
        for (let column = 0; column < this.columns; column++) {
          this.square(pen, map, this.offset(this.index(row, column)), AXIS + column * size, AXIS + row * height, size, height, colours);
        }
      }
      if (this.difference && this.worst.every((i, axis) => axis >= this.leading || i === this.at[axis])) {
        const [row, column] = this.rank > 1 ? this.worst.slice(-2) : [0, this.worst[0] || 0];
        const [x, y, corner] = [AXIS + (column + 1) * size - 1, AXIS + row * height, Math.max(4, Math.min(11, size / 2.5))];
        pen.fillStyle = colours.cursor;
        pen.beginPath();
        pen.moveTo(x - corner, y);
        pen.lineTo(x, y);
        pen.lineTo(x, y + corner);
        pen.fill();
      }
      const [row, column] = this.cell();
      pen.lineWidth = 4;
      pen.strokeStyle = colours.card;
      pen.strokeRect(AXIS + column * size, AXIS + row * height, size - 1, height - 1);
      pen.lineWidth = 2;
      pen.strokeStyle = colours.cursor;
      pen.strokeRect(AXIS + column * size, AXIS + row * height, size - 1, height - 1);
      canvas.setAttribute("aria-label", this.described(map));
    }

    square(pen, map, offset, x, y, size, height, colours) {
      const value = wide(map.values[offset]);
      const gap = size > 8 ? 1 : 0;
      const finite = Number.isFinite(value);
      const colour = finite ? shade(colours, map.scale ? value / map.scale : 0) : colours.middle;
      pen.fillStyle = `rgb(${colour})`;
      pen.fillRect(x, y, size - gap, height - gap);
      const text = readable(colour);
      if (!finite) { // hatched: no colour stands for what is no number
        pen.strokeStyle = text;
        pen.lineWidth = 1;
        pen.beginPath();
        pen.moveTo(x, y + height - gap);
        pen.lineTo(x + size - gap, y);
        pen.stroke();
      }
      if (size >= NUMBERED) {
        pen.fillStyle = text;
        pen.font = `${size >= 38 ? 11 : 9.5}px ui-monospace, monospace`;
        const tiny = finite && value !== 0 && Math.abs(value) < 1e-6 * map.scale;
        const small = value !== 0 && Math.abs(value) < 1e-3;
        const short = small ? value.toExponential(0).replace(/-/g, "−") : said(value, Math.abs(value) < 0.01 ? 1 : 2);
        pen.fillText(tiny ? "≈0" : short, x + size / 2, y + height / 2);
      }
      if (map === this.difference && size < NUMBERED && size >= 6 && this.material(offset)) {
        pen.fillStyle = text;
        pen.beginPath();
        pen.arc(x + size / 2, y + height / 2, Math.max(1.2, size / 12), 0, 7);
        pen.fill();
      }
    }

    ticks(pen, size, height, colours) {
      pen.fillStyle = colours.muted;
      pen.font = "11px system-ui, sans-serif";
      const some = (count, step) => [...Array(count).keys()].filter((i) => i % Math.ceil(24 / step) === 0);
      const across = this.rank > 0 ? this.start[this.rank - 1] : 0;
      const down = this.rank > 1 ? this.start[this.rank - 2] : 0;
      if (this.rank > 0) some(this.columns, size).forEach((i) => pen.fillText(i + across, AXIS + (i + 0.5) * size, AXIS / 2 + 2));
      if (this.rank > 1) some(this.rows, height).forEach((i) => pen.fillText(i + down, AXIS / 2 - 1, AXIS + (i + 0.5) * height));
    }

    place() { return this.rank === 0 ? "the value" : `[${this.at.map((i, axis) => i + this.start[axis]).join(", ")}]`; }

    described(map) {
      const slice = this.at.slice(0, this.leading).map((i, axis) => `${this.label(axis)} ${i + this.start[axis]}`).join(", ");
      const size = `${this.rows} rows, ${this.columns} columns`;
      return `${this.tensor}, ${map.name}${slice ? `, ${slice}` : ""}, ${size}. Arrow keys move, brackets change the slice.`;
    }

    tell() {
      const offset = this.offset(this.at);
      const values = this.maps.map((map) => `${map.name} ${said(map.values[offset])}`).join(", ");
      const worst = this.at.every((i, axis) => i === this.worst[axis]) && this.difference ? ` (${this.because})` : "";
      this.output.textContent = `${this.place()}: ${values}${worst}`;
    }

    slice(step) {
      for (let axis = this.leading - 1; axis >= 0; axis--) {
        const next = this.at[axis] + step;
        this.at[axis] = (next + this.shape[axis]) % this.shape[axis];
        if (next === this.at[axis]) return;
      }
    }

    move(rows, columns) {
      const [row, column] = this.cell();
      const within = (i, n) => Math.min(Math.max(i, 0), n - 1);
      this.at = this.index(within(row + rows, this.rows), within(column + columns, this.columns));
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const actions = {
        ArrowUp: () => this.move(-1, 0), ArrowDown: () => this.move(1, 0), ArrowLeft: () => this.move(0, -1), ArrowRight: () => this.move(0, 1),
        Home: () => this.move(0, -this.columns), End: () => this.move(0, this.columns),
        "[": () => this.slice(-1), "]": () => this.slice(1), PageUp: () => this.slice(-1), PageDown: () => this.slice(1),
        w: () => { this.at = [...this.worst]; }, W: () => { this.at = [...this.worst]; },
      };
      if (!actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
      this.draw();
    }

    point(event, canvas) {
      const box = canvas.getBoundingClientRect();
      const shrunk = box.width / parseFloat(canvas.style.width);
      const column = Math.floor(((event.clientX - box.left) / shrunk - AXIS) / canvas.cell[0]);
      const row = Math.floor(((event.clientY - box.top) / shrunk - AXIS) / canvas.cell[1]);
      if (row < 0 || column < 0 || row >= this.rows || column >= this.columns) return;
      const before = this.offset(this.at);
      this.at = this.index(row, column);
      if (this.offset(this.at) !== before) this.draw();
    }
  }

  for (const home of document.querySelectorAll(".maps")) {
    home.replaceChildren();
    for (const spec of data[home.dataset.finding]) {
      const part = make("div", { className: "view" });
      home.append(part);
      views.push(new View(spec, home.dataset.tensor, part));
    }
  }

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch { // no permission: select it, so that one key copies it
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  const redraw = () => views.forEach((view) => view.draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
  addEventListener("resize", redraw);
})();
