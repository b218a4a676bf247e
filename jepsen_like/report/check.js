// What the page of a judged history adds to what it shows without: zoom, keyboard, details, sorting.
"use strict";
(() => {
  const svgName = "http://www.w3.org/2000/svg";
  const panel = document.querySelector(".details");
  const nice = (span, parts) => {
    const raw = span / parts, power = 10 ** Math.floor(Math.log10(raw));
    return [1, 2, 5, 10].map((f) => f * power).find((step) => step >= raw * 0.999);
  };

  // --- details -----------------------------------------------------------------------------
  let marked = null;
  function mark(operation) {
    if (marked) marked.classList.remove("marked");
    marked = operation;
    if (marked) marked.classList.add("marked");
  }
  function show(operation) {
    mark(operation);
    panel.querySelector("p").textContent = operation.querySelector("title").textContent;
    panel.hidden = false;
  }
  function close() {
    mark(null);
    panel.hidden = true;
  }
  panel.querySelector("button").addEventListener("click", close);

  // --- operations: reachable one by one ----------------------------------------------------
  function reachable(svg) {
    const operations = [...svg.querySelectorAll(".operation")];
    if (!operations.length) return;
    svg.setAttribute("role", "group");
    const start = (operation) => {
      const drawn = operation.querySelector("rect, circle");
      return Number(drawn?.dataset.x ?? drawn?.getAttribute("x") ?? drawn?.getAttribute("cx") ?? 0);
    };
    operations.sort((a, b) => start(a) - start(b));
    for (const operation of operations) {
      operation.setAttribute("role", "button");
      operation.setAttribute("tabindex", "-1");
    }
    operations[0].setAttribute("tabindex", "0");
    const go = (to) => {
      operations.forEach((o) => o.setAttribute("tabindex", o === to ? "0" : "-1"));
      svg.dispatchEvent(new CustomEvent("reach", { detail: to }));
      to.focus();
    };
    const of = (event) => event.target.closest(".operation");
    for (const kind of ["focusin", "click", "pointerover"]) {
      svg.addEventListener(kind, (event) => { if (of(event)) show(of(event)); });
    }
    svg.addEventListener("keydown", (event) => {
      const at = operations.indexOf(of(event));
      if (at < 0) return;
      const last = operations.length - 1;
      const to = {
        ArrowRight: Math.min(at + 1, last), ArrowDown: Math.min(at + 1, last),
        ArrowLeft: Math.max(at - 1, 0), ArrowUp: Math.max(at - 1, 0), Home: 0, End: last,
      }[event.key];
      if (to !== undefined) {
        event.preventDefault();
        go(operations[to]);
      } else if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        show(operations[at]);
      }
    });
  }

  // --- zoom --------------------------------------------------------------------------------
  function stretchable(svg, tools) {
    const left = Number(svg.dataset.left), right = Number(svg.dataset.right);
    const start = Number(svg.dataset.start), end = Number(svg.dataset.end);
    const wide = right - left;
    const parts = [...svg.querySelectorAll(".moving rect, .moving circle, .moving line, rect.band, .band-label")];
    for (const part of parts) {
      const name = { rect: "x", circle: "cx", line: "x1", text: "x" }[part.tagName];
      part.dataset.x = part.getAttribute(name);
      part.dataset.w ??= part.getAttribute("width") ?? 0;
    }
    const ticks = document.createElementNS(svgName, "g");
    const old = [...svg.querySelectorAll(".tick")];
    const base = Number(old[0]?.getAttribute("y1") ?? 0);
    svg.append(ticks);
    let scale = 1, offset = 0; // pixels to the left of what is shown, at the present scale

    function place() {
      scale = Math.min(Math.max(scale, 1), 1e6);
      offset = Math.min(Math.max(offset, 0), wide * (scale - 1));
      for (const part of parts) {
        const from = left + (Number(part.dataset.x) - left) * scale - offset;
        const to = from + Number(part.dataset.w) * scale;
        const seen = to >= left && from <= right;
        part.toggleAttribute("hidden", !seen);
        if (!seen) continue;
        if (part.tagName === "circle") part.setAttribute("cx", from);
        else if (part.tagName === "text") part.setAttribute("x", Math.max(from, left));
        else if (part.tagName === "line") {
          part.setAttribute("x1", from);
          part.setAttribute("x2", from);
        } else {
          const shown = Math.max(from, left);
          part.setAttribute("x", shown);
          part.setAttribute("width", Math.max(Math.min(to, right) - shown, 1));
        }
      }
      drawTicks();
      svg.dataset.scale = scale.toFixed(3);
    }
    function drawTicks() {
      const zoomed = scale > 1;
      old.forEach((tick) => tick.toggleAttribute("hidden", zoomed));
      ticks.replaceChildren();
      if (!zoomed) return;
      const span = (end - start) / scale, low = start + ((end - start) * offset) / (wide * scale);
      const step = nice(span, 12), digits = Math.max(0, -Math.floor(Math.log10(step)));
      for (let i = Math.ceil(low / step); i * step <= low + span && digits < 15; i++) {
        const x = left + ((i * step - low) / span) * wide;
        const line = document.createElementNS(svgName, "line");
        for (const [k, v] of Object.entries({ x1: x, x2: x, y1: base, y2: base + 4, class: "base" })) line.setAttribute(k, v);
        const label = document.createElementNS(svgName, "text");
        for (const [k, v] of Object.entries({ x, y: base + 16, class: "t", "text-anchor": "middle" })) label.setAttribute(k, v);
        label.textContent = (i * step).toFixed(digits);
        ticks.append(line, label);
      }
    }
    function zoom(by, x = (left + right) / 2) {
      const at = (x - left + offset) / scale;
      scale = Math.min(Math.max(scale * by, 1), 1e6);
      offset = at * scale - (x - left);
      place();
    }
    function fit(low, high) {
      const span = Math.max(high - low, (end - start) * 1e-5) * 1.2;
      scale = Math.max(1, (end - start) / span);
      const middle = ((low + high) / 2 - start) / (end - start);
      offset = middle * wide * scale - wide / 2;
      place();
    }
    const actions = {
      in: () => zoom(2), out: () => zoom(0.5), whole: () => { scale = 1; place(); },
      earlier: () => { offset -= wide / 3; place(); }, later: () => { offset += wide / 3; place(); },
      focus: () => fit(Number(svg.dataset.low), Number(svg.dataset.high)),
    };
    tools.hidden = false;
    tools.addEventListener("click", (event) => actions[event.target.dataset.do]?.());
    svg.closest("figure").addEventListener("keydown", (event) => {
      const action = { "+": "in", "=": "in", "-": "out", Escape: "whole" }[event.key];
      if (action && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        actions[action]();
      }
    });
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      const box = svg.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 1.25 : 0.8, ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width);
    }, { passive: false });
    let held = null;
    svg.addEventListener("pointerdown", (event) => { if (scale > 1) held = event.clientX; });
    addEventListener("pointerup", () => { held = null; });
    svg.addEventListener("pointermove", (event) => {
      if (held === null) return;
      offset -= ((event.clientX - held) / svg.getBoundingClientRect().width) * svg.viewBox.baseVal.width;
      held = event.clientX;
      place();
    });
    svg.addEventListener("reach", (event) => {
      const bar = event.detail.querySelector("rect");
      const x = (Number(bar.dataset.x) - left) * scale - offset;
      if (x < 0 || x > wide) {
        offset += x - wide / 2;
        place();
      }
    });
    place();
    const focused = Number(svg.dataset.high) - Number(svg.dataset.low);
    if (focused * 3 < end - start) actions.focus();
  }

  for (const svg of document.querySelectorAll("svg.zoomable")) {
    stretchable(svg, svg.closest("figure").querySelector(".tools"));
  }
  document.querySelectorAll("svg.zoomable, svg.timeline").forEach(reachable);
  document.querySelector(".keys-help").hidden = false;
  addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });

  // --- sorting -----------------------------------------------------------------------------
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.by ?? row.cells[column].textContent;
        const rows = [...table.tBodies[0].rows].sort((a, b) =>
          value(a).localeCompare(value(b), undefined, { numeric: true }));
        table.tBodies[0].append(...(down ? rows.reverse() : rows));
      });
    });
  }

  // --- light and dark ----------------------------------------------------------------------
  const theme = document.querySelector(".theme");
  theme.hidden = false;
  theme.addEventListener("change", (event) => {
    if (event.target.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = event.target.value;
  });
})();
