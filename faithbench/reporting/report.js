"use strict";
(() => {
  const root = document.documentElement;
  const all = (where, what) => Array.from(where.querySelectorAll(what));
  root.classList.add("js");

  const numberOf = (cell) => {
    const stated = cell.dataset.value;
    const value = stated === undefined ? parseFloat(cell.textContent.replace(/,/g, "").replace("\u2212", "-").replace(/^< /, "")) : Number(stated);
    return Number.isFinite(value) ? value : null;
  };
  const compare = (a, b, column, sign) => {
    const left = a.cells[column], right = b.cells[column];
    const x = numberOf(left), y = numberOf(right);
    if (x !== null && y !== null) return sign * (x - y);
    if (x !== null || y !== null) return x === null ? 1 : -1;
    return sign * left.textContent.localeCompare(right.textContent);
  };
  for (const table of all(document, "table.sortable")) {
    const heads = all(table, "thead th");
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = column === 0 ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const body = table.tBodies[0], sign = order === "ascending" ? 1 : -1;
        body.append(...Array.from(body.rows).sort((a, b) => compare(a, b, column, sign)));
      });
    });
  }

  const which = document.getElementById("which");
  const panels = all(document, "section.panel");
  const show = (id) => {
    for (const panel of panels) panel.hidden = id !== "" && panel.id !== id;
    if (which) which.value = id;
  };
  if (which) {
    which.addEventListener("change", () => show(which.value));
    show(panels[0].id);
  }

  const colour = (line) => {
    const first = line.closest("details").querySelector(".fb-line");
    if (!first) return;
    const copy = first.cloneNode(true);
    all(copy, "mark").forEach((mark, place) => {
      const code = line.dataset.codes[place] || "0";
      const level = "1234".includes(code) ? `p${code}` : "abcd".includes(code) ? `n${"abcd".indexOf(code) + 1}` : "";
      mark.className = [level, mark.classList.contains("framed") ? "framed" : ""].filter(Boolean).join(" ");
    });
    line.replaceWith(copy);
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.open) all(event.target, ".later").forEach(colour);
  }, true);

  const open = (text) => {
    const panel = text.closest("section.panel");
    if (panel && panel.hidden) show(panel.id);
    text.hidden = false;
    text.open = true;
    text.scrollIntoView({ block: "start" });
    text.querySelector("summary").focus({ preventScroll: true });
  };
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.matches("details.text")) open(target);
    else if (target.matches("section.panel") && target.hidden) { show(target.id); target.scrollIntoView(); }
  };
  window.addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) follow();
  });
  follow();

  for (const part of all(document, ".texts")) {
    const texts = all(part, "details.text"), unit = part.dataset.unit || "text";
    const form = part.querySelector("form"), count = part.querySelector(".count");
    const search = part.querySelector(".search"), filter = part.querySelector(".filter");
    const order = part.querySelector(".order"), jump = part.querySelector(".jump");
    const words = texts.map((text) => text.textContent.toLowerCase());
    const choose = () => {
      const wanted = search.value.trim().toLowerCase(), kind = filter ? filter.value : "";
      let shown = 0;
      texts.forEach((text, place) => {
        const fits = kind === "" || (kind === "wrong" ? "wrong" in text.dataset : text.dataset.predicted === kind.slice(1));
        text.hidden = !(fits && (wanted === "" || words[place].includes(wanted)));
        shown += text.hidden ? 0 : 1;
      });
      count.textContent = `${shown} of ${texts.length} ${unit}s`;
    };
    const arrange = () => {
      const key = order.value;
      const value = (text) => key === "number" ? Number(text.dataset.number) : text.dataset.value === undefined ? Infinity : (key === "value" ? 1 : -1) * Number(text.dataset.value);
      part.append(...texts.slice().sort((a, b) => value(a) - value(b)));
    };
    const go = () => {
      const wanted = jump.value.trim();
      const text = texts.find((each) => each.dataset.number === wanted) || texts.find((each) => each.dataset.id === wanted);
      if (text) { open(text); return; }
      count.textContent = `There is no ${unit} ${wanted} here`;
    };
    search.addEventListener("input", choose);
    if (filter) filter.addEventListener("change", choose);
    order.addEventListener("change", arrange);
    form.addEventListener("submit", (event) => { event.preventDefault(); if (jump.value.trim()) go(); });
  }

  const undo = [];
  window.addEventListener("beforeprint", () => {
    for (const part of all(document, "[hidden]")) { part.hidden = false; undo.push(() => { part.hidden = true; }); }
    for (const part of all(document, "details:not([open])")) { part.open = true; undo.push(() => { part.open = false; }); }
    all(document, ".later").forEach(colour);
  });
  window.addEventListener("afterprint", () => { for (const back of undo.splice(0)) back(); });

  const figure = (value) => {
    if (value === 0) return "0.0";
    const places = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(Math.abs(value)))));
    return value.toFixed(places).replace("-", "\u2212");
  };
  for (const part of all(document, ".apart")) {
    const data = JSON.parse(part.querySelector(".data").textContent);
    const a = part.querySelector("select.a"), b = part.querySelector("select.b");
    const draw = () => {
      const first = Number(a.value), second = Number(b.value);
      all(part, ".name-a").forEach((each) => { each.textContent = a.selectedOptions[0].textContent; });
      all(part, ".name-b").forEach((each) => { each.textContent = b.selectedOptions[0].textContent; });
      part.querySelector(".sentence").textContent = data.sentences[`${first},${second}`] || "Choose two different explainers.";
      const rows = data.numbers.map((number, i) => ({ number, x: data.values[first][i], y: data.values[second][i] }))
        .filter((row) => row.x !== null && row.y !== null).map((row) => ({ ...row, gap: row.x - row.y }));
      const limit = Math.max(0, ...rows.map((row) => Math.abs(row.gap))) || 1, step = 600 / Math.max(1, rows.length);
      const ordered = rows.map((row) => row.gap).sort((x, y) => y - x);
      part.querySelector(".bars path").setAttribute("d", ordered.map((gap, i) => `M${((i + 0.5) * step).toFixed(1)} 80V${(80 - gap / limit * 76).toFixed(1)}`).join(""));
      part.querySelector(".limit").textContent = figure(limit);
      part.querySelector(".count").textContent = rows.length.toLocaleString("en");
      const body = part.querySelector(".most tbody");
      body.replaceChildren(...rows.sort((x, y) => Math.abs(y.gap) - Math.abs(x.gap)).slice(0, 10).map((row) => {
        const id = `${part.dataset.section}-t${row.number}`, is_there = document.getElementById(id) !== null;
        const line = document.createElement("tr"), link = document.createElement(is_there ? "a" : "span"), cell = document.createElement("td");
        if (is_there) link.href = `#${id}`;
        link.textContent = `text ${row.number}`;
        cell.append(link);
        line.append(cell, ...[row.x, row.y, row.gap].map((value) => {
          const number = document.createElement("td");
          number.className = "right";
          number.textContent = figure(value);
          return number;
        }));
        return line;
      }));
    };
    a.addEventListener("change", draw);
    b.addEventListener("change", draw);
  }
})();
