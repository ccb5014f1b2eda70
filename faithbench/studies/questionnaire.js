"use strict";
(() => {
  const study = JSON.parse(document.getElementById("study").textContent);
  const at = (id) => document.getElementById(id);
  const known = new Set(study.orders[0].flatMap((text) => text.slice(1)));
  const total = known.size * study.questions.length;
  let rater = 0, answers = {}, place = 0, isKept = true, isSaved = true;

  const order = () => study.orders[rater - 1];
  const slot = () => `faithbench-study-${study.study}-${rater}`;
  const record = () => ({ format: 1, study: study.study, rater, consent: true, answers });
  const rated = (name) => Object.keys(answers[name] || {}).length;
  const given = () => Object.keys(answers).reduce((sum, name) => sum + rated(name), 0);
  const fields = () => [...at(`t${order()[place][0]}`).querySelectorAll("fieldset")];
  const isOpen = (field) => !(answers[field.dataset.explanation] || {})[field.dataset.question];

  function keep() {
    try {
      localStorage.setItem(slot(), JSON.stringify(record()));
      isKept = true;
    } catch { isKept = false; }
  }

  function kept() {
    try { return JSON.parse(localStorage.getItem(slot())); } catch { return null; }
  }

  // what is wrong with answers from a file or from the browser; nothing if they can be used
  function fault(found) {
    if (!found || typeof found !== "object" || found.format !== 1 || !found.answers || typeof found.answers !== "object") return "it holds no ratings";
    if (found.study !== study.study) return "it is of another study";
    if (!Number.isInteger(found.rater) || !study.orders[found.rater - 1]) return "it has no number of a rater";
    for (const [name, own] of Object.entries(found.answers)) {
      if (!known.has(name) || !own || typeof own !== "object") return "it rates what is not asked here";
      for (const [question, number] of Object.entries(own)) {
        if (!study.questions.includes(question) || !Number.isInteger(number) || number < study.least || number > study.most) return "it holds a rating that cannot be given";
      }
    }
    return "";
  }

  // the second's ratings count where both have one
  function merged(first, second) {
    const all = { ...first };
    for (const [name, own] of Object.entries(second)) all[name] = { ...all[name], ...own };
    return all;
  }

  function show(section) {
    for (const id of ["start", "rating", "end"]) at(id).hidden = id !== section;
    window.scrollTo(0, 0);
  }

  function tell() {
    const count = given();
    at("place").textContent = `Text ${place + 1} of ${order().length}`;
    at("told").textContent = `${count} of ${total} ratings${isKept ? ", kept in this browser" : "; this browser keeps nothing, so save them before you close it"}`;
    at("progress").max = total;
    at("progress").value = count;
    at("back").disabled = place === 0;
    at("next").textContent = place === order().length - 1 ? "To the end" : "Next text";
  }

  function paint(field) {
    const own = (answers[field.dataset.explanation] || {})[field.dataset.question];
    for (const button of field.querySelectorAll("button")) button.setAttribute("aria-pressed", String(Number(button.value) === own));
    field.classList.toggle("done", own !== undefined);
  }

  function turn(to) {
    place = to;
    const [name, ...explanations] = order()[place];
    for (const article of document.querySelectorAll("article")) article.hidden = article.id !== `t${name}`;
    at("answer").textContent = at(`t${name}`).dataset.answer;
    explanations.forEach((explanation, number) => {
      const section = at(`e${explanation}`);
      section.querySelector(".letter").textContent = String(number + 1);
      section.parentElement.append(section);
    });
    fields().forEach(paint);
    tell();
    show("rating");
  }

  function rate(field, number) {
    const { explanation, question } = field.dataset;
    answers[explanation] = { ...answers[explanation], [question]: number };
    isSaved = false;
    keep();
    paint(field);
    tell();
  }

  function focus(element) {
    element.focus({ preventScroll: true });
    const isFirst = element.matches(".explanation fieldset:first-of-type");
    (isFirst ? element.parentElement : element).scrollIntoView({ block: "nearest" });
  }

  const current = () => document.activeElement.closest("fieldset");

  function step(by) {
    const all = fields(), now = all.indexOf(current());
    const next = now < 0 ? (by > 0 ? 0 : all.length - 1) : now + by;
    if (next >= all.length) focus(at("next"));
    else if (next >= 0) focus(all[next]);
  }

  function end() {
    const open = total - given();
    at("ended").textContent = open ? "Not everything is rated yet" : "Thank you, everything is rated";
    at("count").textContent = `${given()} of ${total} ratings.${open ? " You can save them now and go on later, here or from the file." : ""}`;
    at("copy").value = JSON.stringify(record());
    show("end");
  }

  function onward() {
    if (place < order().length - 1) { turn(place + 1); focus(fields()[0]); window.scrollTo(0, 0); } else end();
  }

  function firstOpen() {
    const found = order().findIndex((text) => text.slice(1).some((name) => rated(name) < study.questions.length));
    if (found < 0) return end();
    turn(found);
    focus(fields().find(isOpen));
  }

  at("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = Number(at("rater").value);
    if (chosen !== rater) { rater = chosen; answers = {}; }
    const found = kept();
    if (found && !fault(found) && found.rater === rater) answers = merged(found.answers, answers);
    keep();
    firstOpen();
  });

  at("load").addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (!file) return;
    let found = null;
    try { found = JSON.parse(await file.text()); } catch { found = null; }
    const wrong = fault(found);
    if (wrong) { at("loaded").textContent = `The file cannot be used: ${wrong}.`; return; }
    rater = found.rater;
    answers = merged({}, found.answers);
    at("rater").value = String(rater);
    at("loaded").textContent = `${given()} of ${total} ratings of number ${rater} are loaded.`;
  });

  at("rating").addEventListener("click", (event) => {
    const button = event.target.closest("fieldset button");
    if (button) rate(button.closest("fieldset"), Number(button.value));
  });

  document.addEventListener("keydown", (event) => {
    if (at("rating").hidden || event.ctrlKey || event.altKey || event.metaKey) return;
    const number = Number(event.key), field = current();
    if (/^[0-9]$/.test(event.key) && number >= study.least && number <= study.most) {
      if (!field) return step(1);
      rate(field, number);
      step(1);
    } else if (event.key === "ArrowDown") step(1);
    else if (event.key === "ArrowUp") step(-1);
    else if (event.key === "ArrowRight") onward();
    else if (event.key === "ArrowLeft" && place > 0) { turn(place - 1); focus(fields()[0]); window.scrollTo(0, 0); } else return;
    event.preventDefault();
  });

  at("next").addEventListener("click", onward);
  at("back").addEventListener("click", () => turn(place - 1));
  at("open").addEventListener("click", firstOpen);
  at("finish").addEventListener("click", end);
  at("return").addEventListener("click", () => turn(place));
  at("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(record())], { type: "application/json" }));
    link.download = `answers-${study.study}-${rater}.json`;
    link.click();
    isSaved = true;
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
  window.addEventListener("beforeunload", (event) => { if (!isKept && !isSaved) event.preventDefault(); });
})();
