"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // ---- Helpers -----------------------------------------------------------------------------

  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };

  const clock = (seconds) => {
    if (seconds === null || seconds === undefined) return "";
    const sign = seconds < 0 ? "-" : "";
    const ms = Math.round(Math.abs(seconds) * 1000);
    const two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(ms / 3600000), m = Math.floor(ms / 60000) % 60, s = Math.floor(ms / 1000) % 60;
    const fraction = ms % 1000 ? "." + String(ms % 1000).padStart(3, "0").replace(/0+$/, "") : "";
    if (h) return `${sign}${h}h${two(m)}m` + (s || fraction ? `${two(s)}s` : "");
    if (m) return `${sign}${m}m${two(s)}${fraction}s`;
    return s || !ms ? `${sign}${s}${fraction}s` : `${sign}${ms}ms`;
  };

  // The same without trailing zeros, for axes.
  const tick = (seconds) => clock(seconds).replace(/(h\d\dm)00s$/, "$1").replace(/([hm])00[ms]$/, "$1") || "0";

  const figure = (value) =>
    value === null || value === undefined ? "" : value.toLocaleString("en-US", { maximumFractionDigits: 2 });

  // ---- Charts ------------------------------------------------------------------------------

  const faultBands = {
    hooks: {
      drawClear: (u) => {
        const { left, top, width, height } = u.bbox;
        u.ctx.save();
        u.ctx.beginPath();
        u.ctx.rect(left, top, width, height);
        u.ctx.clip();
        for (const fault of data.faults) {
          const from = u.valToPos(fault.begin, "x", true);
          const to = Math.max(u.valToPos(fault.end, "x", true), from + 1);
          u.ctx.fillStyle = "rgba(213, 94, 0, 0.13)";
          u.ctx.fillRect(from, top, to - from, height);
        }
        u.ctx.restore();
      },
      draw: (u) => {
        const { left, top, width, height } = u.bbox;
        const hair = devicePixelRatio;
        u.ctx.save();
        u.ctx.font = `${12 * hair}px system-ui, sans-serif`;
        u.ctx.textBaseline = "bottom";
        u.ctx.textAlign = "left";
        u.ctx.fillStyle = "#b34700";
        let free = left;
        for (const fault of data.faults) {
          const from = Math.max(u.valToPos(fault.begin, "x", true), left);
          const to = Math.min(u.valToPos(fault.end, "x", true), left + width);
          if (to < left || from > left + width) continue;
          u.ctx.fillRect(from, top - 3 * hair, Math.max(to - from, 1), 3 * hair);
          for (const edge of data.faults.length > 20 ? [] : [from, to]) u.ctx.fillRect(edge, top, hair, height);
          const wide = u.ctx.measureText(fault.label).width;
          const at = Math.min(from, left + width - wide);
          if (at < free) continue;
          u.ctx.fillText(fault.label, at, top - 5 * hair);
          free = at + wide + 14 * hair;
        }
        u.ctx.restore();
      },
    },
  };

  // The sums of the layers that are shown, from the bottom.
  const stacked = (values, shown) => {
    const sums = new Array(values[0].length).fill(0);
    return values.map((layer, index) =>
      layer.map((value, at) => (shown[index] ? (sums[at] += value || 0) : null)));
  };

  const steps = uPlot.paths.stepped({ align: 1 });
  const sync = uPlot.sync("time");
  const charts = [];
  let zooming = false;

  const zoomAll = (u, key) => {
    if (key !== "x" || zooming) return;
    zooming = true;
    const { min, max } = u.scales.x;
    for (const other of charts) if (other !== u) other.setScale("x", { min, max });
    zooming = false;
  };

  const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
    172800, 432000, 864000];

  const drawChart = (chart, into) => {
    const values = chart.series.map((series) => series.values);
    const shown = chart.series.map((series) => !series.hidden);
    const plotted = () => [chart.x, ...(chart.stacked ? stacked(values, shown).reverse() : values)];
    const order = chart.stacked ? [...chart.series.keys()].reverse() : [...chart.series.keys()];
    const series = order.map((index) => {
      const { label, colour } = chart.series[index];
      return {
        label,
        show: shown[index],
        stroke: colour,
        fill: chart.stacked ? colour : undefined,
        width: chart.stacked ? 0 : 2,
        paths: steps,
        points: { show: false },
        value: (u, raw, seriesIndex, at) =>
          at === null || at === undefined ? "–" : `${figure(values[index][at])} ${chart.unit}`,
      };
    });
    const holder = el("div", { class: "chart" }, el("h3", {}, `${chart.title} (${chart.unit})`));
    into.append(holder);
    if (chart.note) holder.append(el("p", { class: "hint" }, chart.note));
    const options = {
      width: holder.clientWidth,
      height: 270,
      padding: [24, 30, 0, 0],
      series: [{ label: "time", value: (u, seconds) => clock(seconds) || "–" }, ...series],
      scales: {
        x: { time: false },
        y: { range: (u, min, max) => [0, chart.top || (max > 0 ? max * 1.06 : 1)] },
      },
      axes: [
        { stroke: "#1f2328", grid: { stroke: "#eceef1" }, incrs: timeSteps, space: 90,
          values: (u, ticks) => ticks.map(tick) },
        { stroke: "#1f2328", grid: { stroke: "#eceef1" }, size: 66,
          values: (u, ticks) => ticks.map(figure) },
      ],
      cursor: { sync: { key: sync.key, setSeries: false, scales: ["x", null] }, drag: { x: true, y: false } },
      plugins: [faultBands],
      hooks: {
        setScale: [zoomAll],
        setSeries: [(u, seriesIndex) => {
          if (!chart.stacked || seriesIndex === null) return;
          const place = order[seriesIndex - 1];
          if (shown[place] === u.series[seriesIndex].show) return;
          shown[place] = u.series[seriesIndex].show;
          u.setData(plotted(), false);
          u.redraw();
        }],
      },
    };
    charts.push(new uPlot(options, plotted(), holder));
  };

  const drawCharts = () => {
    const into = document.getElementById("charts");
    for (const chart of data.charts) drawChart(chart, into);
    if (!data.charts.length) into.append(el("p", { class: "note" }, "No time course was recorded."));
    addEventListener("resize", () => {
      for (const u of charts) u.setSize({ width: u.root.parentElement.clientWidth, height: 270 });
    });
  };

  // ---- Heat map ----------------------------------------------------------------------------

  const drawHeat = () => {
    const heat = data.heat, into = document.getElementById("heat");
    if (!heat.rows.length) {
      into.append(el("p", { class: "note" }, "No nodes were recorded."));
      return;
    }
    const gradient = `linear-gradient(to right, ${heat.ramp.join(",")})`;
    into.append(el("div", { class: "scale" }, "0 %", el("i", { style: `background: ${gradient}` }),
      "100 % of allocatable", el("i", { class: "absent", style: `background: ${heat.absent}` }), "no such node"));
    if (heat.note) into.append(el("p", { class: "hint" }, heat.note));
    const tall = Math.max(3, Math.min(24, Math.floor(620 / heat.rows.length)));
    const canvas = el("canvas", { width: heat.steps, height: heat.rows.length,
      style: `height: ${tall * heat.rows.length}px; image-rendering: pixelated` });
    const context = canvas.getContext("2d");
    const level = (row, step) => row.cells.charCodeAt(step) - 65;
    heat.rows.forEach((row, y) => {
      for (let x = 0; x < heat.steps; x++) {
        const at = level(row, x);
        context.fillStyle = at < 0 ? heat.absent : heat.ramp[at];
        context.fillRect(x, y, 1, 1);
      }
    });
    const reading = el("div", { class: "reading" });
    canvas.addEventListener("mousemove", (event) => {
      const box = canvas.getBoundingClientRect();
      const x = Math.min(heat.steps - 1, Math.max(0, Math.floor((event.clientX - box.left) / box.width * heat.steps)));
      const y = Math.min(heat.rows.length - 1, Math.max(0, Math.floor((event.clientY - box.top) / box.height * heat.rows.length)));
      const at = level(heat.rows[y], x);
      const share = at < 0 ? "not there" : `about ${Math.round(at / (heat.ramp.length - 1) * 100)} % allocated`;
      reading.textContent = `${heat.rows[y].label} at ${clock(Math.round(x / heat.steps * data.length))}: ${share}`;
    });
    canvas.addEventListener("mouseleave", () => { reading.textContent = ""; });
    const zones = el("div", { class: "zones" });
    for (let from = 0; from < heat.rows.length;) {
      let to = from;
      while (to < heat.rows.length && heat.rows[to].group === heat.rows[from].group) to++;
      if (heat.rows[from].group) {
        zones.append(el("div", { style: `top: ${from * tall}px; height: ${(to - from) * tall - 2}px` }, heat.rows[from].group));
      }
      from = to;
    }
    const axis = el("div", { class: "axis" });
    for (let part = 0; part <= 4; part++) axis.append(el("span", {}, tick(Math.round(data.length * part / 4))));
    const map = el("div", { class: "map" }, canvas);
    for (const fault of data.faults.slice(0, 500)) {
      const [from, to] = [fault.begin, fault.end].map((time) => Math.min(100, time / data.length * 100));
      map.append(el("div", { class: "fault", title: fault.label, style: `left: ${from}%; width: ${to - from}%` }));
      if (data.faults.length > 20) map.lastChild.style.borderWidth = "4px 0 0";
    }
    into.append(el("div", { class: "heat" }, zones, map), axis, reading);
  };

  // ---- Tables ------------------------------------------------------------------------------

  const PAGE = 50;

  // A table of `rows` with a filter, a choice among the values of one column, and sorting.
  const drawTable = (into, { table, columns, choose, warn }) => {
    const text = (row) => row.join("\u0001").toLowerCase();
    const haystack = table.rows.map(text);
    let sorted = null, falling = false, shownMax = PAGE;
    const search = el("input", { type: "search", placeholder: "Filter, such as a name, a node or a reason", "aria-label": "filter" });
    const select = el("select", { "aria-label": columns[choose].title });
    select.append(el("option", { value: "" }, `Every ${columns[choose].title.toLowerCase()}`));
    for (const value of [...new Set(table.rows.map((row) => row[choose]))].sort()) select.append(el("option", {}, value));
    const count = el("span", { class: "count" });
    const head = el("tr"), body = el("tbody");
    const more = el("button", { onclick: () => { shownMax += 10 * PAGE; show(); } });
    const matching = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const found = [];
      table.rows.forEach((row, index) => {
        if (select.value && row[choose] !== select.value) return;
        if (words.every((word) => haystack[index].includes(word))) found.push(row);
      });
      if (sorted !== null) {
        const rank = (value) => (value === null || value === "" ? 1 : 0);
        found.sort((a, b) => {
          const [x, y] = [a[sorted], b[sorted]];
          if (rank(x) !== rank(y)) return rank(x) - rank(y);
          return (x < y ? -1 : x > y ? 1 : 0) * (falling ? -1 : 1);
        });
      }
      return found;
    };
    const show = () => {
      const found = matching();
      body.replaceChildren(...found.slice(0, shownMax).map((row) =>
        el("tr", { class: warn(row) ? "warn" : null }, ...columns.map((column, index) => {
          const value = column.show ? column.show(row[index], row) : row[index] ?? "";
          return el("td", { class: column.figure ? "figure" : column.short ? "short" : column.name ? "name" : null }, value);
        }))));
      count.textContent = `${figure(found.length)} of ${figure(table.all)}`;
      more.hidden = found.length <= shownMax;
      more.textContent = `Show more (${figure(found.length - shownMax)} left)`;
    };
    columns.forEach((column, index) => head.append(el("th", {
      class: `sortable${column.figure ? " figure" : ""}`,
      onclick: () => { falling = sorted === index && !falling; sorted = index; show(); },
    }, column.title)));
    for (const input of [search, select]) input.addEventListener("input", () => { shownMax = PAGE; show(); });
    into.append(el("div", { class: "tools" }, search, select, count));
    if (table.note) into.append(el("p", { class: "note" }, table.note));
    into.append(el("div", { class: "scroll" },
      el("table", { class: "rows" }, el("thead", {}, head), body)), more);
    show();
    return (words) => { search.value = words; select.value = ""; shownMax = PAGE; show(); into.scrollIntoView(); };
  };

  const time = (title) => ({ title, figure: true, show: clock });
  const number = (title) => ({ title, figure: true, show: figure });
  let showEvents = () => {};

  const drawTables = () => {
    showEvents = drawTable(document.getElementById("events"), {
      table: data.events,
      choose: 4,
      warn: (row) => row[4] === "Warning" || row[4] === "FaultBegin",
      columns: [number("Row"), time("At"), { title: "Kind", short: true }, { title: "Object", name: true },
        { title: "Type", short: true }, { title: "Reason", short: true }, { title: "Message" }, number("Cause")],
    });
    drawTable(document.getElementById("pods"), {
      table: data.pods,
      choose: 3,
      warn: (row) => row[3] === "Pending" || row[3] === "Failed" || row[3] === "Unknown",
      columns: [
        { title: "Pod", name: true, show: (name) => el("a", { onclick: () => showEvents(name), title: "Show its events" }, name) },
        { title: "Workload", name: true }, { title: "Node", name: true }, { title: "Phase", short: true }, time("Created at"), time("Bound after"),
        time("Ready after"), number("Restarts"), { title: "Why" },
      ],
    });
    drawTable(document.getElementById("nodes"), {
      table: data.nodes,
      choose: 2,
      warn: (row) => row[3] !== null && row[3] < 100,
      columns: [{ title: "Node", name: true }, { title: "Pool", short: true }, { title: "Zone", short: true }, number("Ready, %"),
        number("CPU, cores"), number("CPU allocated, %"), number("CPU used, %"), number("Memory, GiB"),
        number("Memory allocated, %"), number("Memory used, %"), number("Pods at the end"), number("Most pods"),
        number("Cost, $")],
    });
  };

  drawCharts();
  drawHeat();
  drawTables();
})();
