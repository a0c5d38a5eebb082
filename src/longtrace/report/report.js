// The report's inspector and hover readings. Everything from the run is shown with textContent: it is untrusted text.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const plural = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : /(s|x|ch)$/.test(word) ? "es" : "s"}`;

  /** A new element: `props` are properties or aria-/role/data attributes, `children` nodes or plain text. */
  function make(tag, props = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(props)) {
      if (key.startsWith("aria-") || key === "role") node.setAttribute(key, value);
      else node[key] = value;
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  /** Text whose writing direction cannot reach its surroundings. */
  const isolate = (text, tag = "bdi") => make(tag, { dir: "auto" }, text);

  const tier = (name) => data.tiers[name];
  const title = (doc) => data.titles[doc];

  /** A letter on the tier's colour. */
  function swatch(name, className = "") {
    return make("i", { className: `${name} ${className}`.trim(), "aria-hidden": "true" }, tier(name).letter);
  }

  function chip(doc, name) {
    return make("span", { className: "chip", title: tier(name).about }, swatch(name), isolate(title(doc)));
  }

  /** Tabs with left and right keys; `show(index)` fills the panel. */
  function tabs(label, names, panel, show) {
    const buttons = names.map((name) => make("button", { type: "button", role: "tab" }, ...[name].flat()));
    const choose = (index, focus) => {
      buttons.forEach((button, i) => {
        button.setAttribute("aria-selected", String(i === index));
        button.tabIndex = i === index ? 0 : -1;
      });
      if (focus) buttons[index].focus();
      panel.replaceChildren(...show(index));
    };
    buttons.forEach((button, i) => {
      button.addEventListener("click", () => choose(i, false));
      button.addEventListener("keydown", (event) => {
        const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!move) return;
        event.preventDefault();
        choose((i + move + buttons.length) % buttons.length, true);
      });
    });
    panel.setAttribute("role", "tabpanel");
    choose(0, false);
    return make("div", { className: "tabs", role: "tablist", "aria-label": label }, ...buttons);
  }

  // ------------------------------------------------------------------------------- one question

  function verdict(correct) {
    if (correct === true) return make("span", { className: "right" }, "✓ right");
    if (correct === false) return make("span", { className: "wrong" }, "✗ wrong");
    return make("span", { className: "soft" }, "– not judged");
  }

  const ending = (attempt) =>
    attempt.stop === "answered" ? verdict(attempt.correct) : make("span", { className: "soft" }, "– no answer");

  /** Pieces of a sentence: plain and marked in turn. */
  const marked = (pieces) => pieces.map((piece, i) => isolate(piece, i % 2 ? "mark" : "bdi"));

  function hops(question) {
    const items = question.hops.map((hop) => {
      const evidence = hop.evidence.length ? make("p", {}, ...marked(hop.evidence)) : null;
      return make("li", {}, isolate(title(hop.doc), "b"), evidence);
    });
    return make("ol", { className: "hops" }, ...items);
  }

  /** What became of a document in one attempt, in the words of the tiers. */
  function fates(question, attempt) {
    const gold = new Set(question.hops.map((hop) => hop.doc));
    const opened = new Set(attempt.events.filter((e) => e.kind === "open" && e.found).flatMap((e) => e.docs));
    const cited = new Set(attempt.events.filter((e) => e.kind === "answer").flatMap((e) => e.docs));
    return (doc) => {
      if (gold.has(doc)) return "gold";
      if (cited.has(doc)) return attempt.correct === false ? "near_miss" : "cited";
      return opened.has(doc) ? "read" : "seen";
    };
  }

  function searched(event, fate) {
    const cells = event.docs.map((doc, i) => {
      const cell = swatch(fate(doc), "cell");
      cell.title = `${i + 1}. ${title(doc)} (${tier(fate(doc)).name})`;
      return cell;
    });
    const listed = event.docs.map((doc) => make("li", {}, chip(doc, fate(doc))));
    const summary = make("summary", {},
      make("span", { className: "query", dir: "auto" }, event.text || "(empty query)"),
      make("span", { className: "strip" }, ...cells));
    return make("details", {}, summary, make("ol", { className: "results" }, ...listed));
  }

  function step(event, question, attempt, fate) {
    let body;
    if (event.kind === "search") body = searched(event, fate);
    else if (event.kind === "open") {
      body = make("div", { className: "chips" }, ...event.docs.map((doc) => chip(doc, fate(doc))));
      if (!event.found) body.append(make("span", { className: "soft" }, "nothing readable came back"));
    } else {
      body = make("div", {}, isolate(event.text || "(no text)", "b"), " ", verdict(attempt.correct),
        make("div", { className: "chips" }, event.docs.length ? make("span", { className: "soft" }, "cites") : null,
          ...event.docs.map((doc) => chip(doc, fate(doc)))));
    }
    return make("li", {}, make("span", { className: "verb" }, event.kind), body);
  }

  function timeline(question, attempt) {
    const fate = fates(question, attempt);
    const count = (kind) => attempt.events.filter((e) => e.kind === kind).reduce((n, e) => n + (kind === "search" ? 1 : e.docs.length), 0);
    const cited = attempt.events.filter((e) => e.kind === "answer").flatMap((e) => e.docs);
    const found = question.hops.filter((hop) => cited.includes(hop.doc)).length;
    const ended = attempt.stop === "answered" ? "" : ` It ended without an answer (${attempt.stop.replaceAll("_", " ")}).`;
    const summary = make("p", { className: "small soft" },
      `${plural(count("search"), "search")}, ${plural(count("open"), "document")} opened, ${cited.length} cited; ` +
      `${found} of the walk's ${question.hops.length} documents cited.${ended}` +
      (attempt.cut ? ` ${plural(attempt.cut, "step")} left out here.` : ""));
    const list = make("ol", { className: "line" });
    const shown = 24;
    const rows = attempt.events.map((event) => () => step(event, question, attempt, fate));
    const head = rows.length > shown + 4 ? [...rows.slice(0, shown), null, ...rows.slice(-2)] : rows;
    head.forEach((row) => {
      if (row) return list.append(row());
      const rest = rows.slice(shown, -2);
      const more = make("button", { type: "button", className: "more" }, `show ${rest.length} more steps`);
      const item = make("li", {}, make("span"), make("div", {}, more));
      more.addEventListener("click", () => item.replaceWith(...rest.map((later) => later())));
      list.append(item);
    });
    return [summary, list];
  }

  // -------------------------------------------------------------------------------- context map

  /** Blocks in prompt order, cut into rows of equal tokens; what is left of the budget is hatched. */
  function rows(map) {
    const narrow = window.matchMedia("(max-width: 820px)").matches;
    const count = Math.max(1, Math.ceil(map.blocks.length / (narrow ? 14 : 36)));
    const room = Math.max(map.budget, map.tokens) / count;
    const made = [[]];
    let used = 0;
    map.blocks.forEach((block, i) => {
      if (used >= room * made.length - block[2] / 2 && made.length < count) made.push([]);
      made.at(-1).push(i);
      used += block[2];
    });
    return { made, room };
  }

  function contextMap(map) {
    const total = map.blocks.length;
    const caption = make("p", { className: "caption soft", "aria-live": "polite" });
    const hint = `${plural(total, "passage")}, ${map.tokens.toLocaleString("en")} of ${map.budget.toLocaleString("en")} tokens, in prompt order. ` +
      "Point at a block, or use the left and right keys.";
    const cells = map.blocks.map(([doc, name, tokens, cut], i) => {
      const cell = make("div", { className: `block ${name}${cut ? " cut" : ""}`, role: "option", id: `b-${map.strategy}-${i}`,
        "aria-label": `${tier(name).name}: ${title(doc)}, ${tokens} tokens`, title: title(doc) },
        tokens / map.budget > 0.012 ? tier(name).letter : "");
      cell.style.flexGrow = tokens;
      cell.addEventListener("pointerenter", () => choose(i));
      cell.addEventListener("click", () => choose(i));
      return cell;
    });
    const { made, room } = rows(map);
    const around = map.tokens - map.blocks.reduce((n, b) => n + b[2], 0);
    const rest = (tokens, className, text, letter) => {
      if (tokens < room * 0.002) return [];
      const cell = make("div", { className: `block ${className}`, title: `${text}: ${plural(Math.round(tokens), "token")}`, "aria-hidden": "true" }, tokens > room * 0.012 ? letter : "");
      cell.style.flexGrow = tokens;
      return [cell];
    };
    const drawn = made.map((row, i) => {
      const last = i === made.length - 1;
      return make("div", { className: "row", role: "presentation" }, ...row.map((b) => cells[b]),
        ...(last ? rest(around, "ask", "instruction and question", "?") : []),
        ...(last ? rest(map.budget - map.tokens, "free", "left of the budget", "") : []));
    });
    const box = make("div", { className: "map", role: "listbox", tabIndex: 0, "aria-label": "passages in prompt order", "aria-orientation": "horizontal" }, ...drawn);
    let at = -1;
    function choose(i) {
      if (cells[at]) { cells[at].classList.remove("at"); cells[at].removeAttribute("aria-selected"); }
      at = i;
      cells[at].classList.add("at");
      cells[at].setAttribute("aria-selected", "true");
      box.setAttribute("aria-activedescendant", cells[at].id);
      const [doc, name, tokens, cut] = map.blocks[at];
      caption.replaceChildren(make("span", { className: "chip" }, swatch(name), isolate(title(doc), "b")),
        ` ${tier(name).name}: ${tier(name).about}. Passage ${at + 1} of ${total}, ${plural(tokens, "token")}${cut ? ", cut to fit" : ""}.`);
    }
    box.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: total - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      choose(Math.min(total - 1, Math.max(0, to)));
    });
    caption.textContent = hint;
    return [box, caption, legend(map)];
  }

  function legend(map) {
    const all = map.blocks.reduce((n, b) => n + b[2], 0);
    const keys = Object.keys(data.tiers).map((name) => {
      const mine = map.blocks.filter((block) => block[1] === name);
      if (!mine.length) return null;
      const share = mine.reduce((n, b) => n + b[2], 0) / map.tokens;
      return make("span", { className: "key" }, swatch(name), `${tier(name).name}: ${plural(mine.length, "passage")}, ${percent(share)} of the tokens`);
    });
    const around = map.tokens - all;
    const ask = make("span", { className: "key" }, make("i", { className: "ask", "aria-hidden": "true" }, "?"),
      `instruction and question: ${plural(around, "token")}`);
    return make("div", { className: "legend" }, ...keys, around > 0 ? ask : null);
  }

  // ---------------------------------------------------------------------------------- inspector

  function show(question, number) {
    const facts = [["Answer", question.answer], ["Hops", question.hops.length - 1], ["Writer", question.writer], ["Id", question.id]];
    const parts = [
      make("h3", { id: "question-title" }, `Question ${number}`),
      make("p", { className: "question", dir: "auto" }, question.text),
      make("dl", { className: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", { dir: "auto" }, String(value))))),
      make("h3", {}, "The walk"), hops(question),
    ];
    if (question.attempts.length) {
      const panel = make("div");
      const names = question.attempts.map((attempt) => [`Attempt ${attempt.number + 1} `, ending(attempt)]);
      parts.push(make("h3", {}, "What the agent did"), tabs("attempts", names, panel, (i) => timeline(question, question.attempts[i])), panel);
    }
    if (question.maps.length) {
      const panel = make("div");
      const best = question.maps.map((map) => map.strategy);
      parts.push(make("h3", {}, "Map of its context"), tabs("strategies", best, panel, (i) => contextMap(question.maps[i])), panel);
    } else if (data.has_contexts) {
      parts.push(make("h3", {}, "Map of its context"), make("p", { className: "soft" }, "No context was made from this question."));
    }
    $("detail").replaceChildren(...parts);
  }

  function inspector() {
    const list = $("list");
    if (!list) return;
    const found = data.questions.map((question) => {
      const solved = question.attempts.some((attempt) => attempt.correct === true);
      const names = question.hops.map((hop) => title(hop.doc)).join(" ");
      return { question, solved, words: `${question.text} ${question.answer} ${question.id} ${names}`.toLowerCase() };
    });
    const options = found.map(({ question, solved }, i) => {
      const sign = !question.attempts.length ? "·" : solved ? "✓" : "✗";
      const name = !question.attempts.length ? "no attempts" : solved ? "solved" : "never solved";
      const option = make("li", { role: "option", id: `q-${i}`, "aria-selected": "false" },
        make("span", { className: solved ? "right" : "wrong", title: name, "aria-label": name }, sign),
        make("span", {}, `${i + 1}. `, isolate(title(question.hops[0].doc)), " → ", isolate(title(question.hops.at(-1).doc)),
          make("span", { className: "soft", dir: "auto" }, question.answer)));
      option.addEventListener("click", () => choose(i));
      return option;
    });
    list.replaceChildren(...options);
    let at = -1;
    const visible = () => options.map((_, i) => i).filter((i) => !options[i].hidden);
    function choose(i) {
      if (i === at) return;
      if (options[at]) options[at].setAttribute("aria-selected", "false");
      at = i;
      options[at].setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", options[at].id);
      const top = options[at].offsetTop - list.offsetTop;
      if (top < list.scrollTop || top + options[at].offsetHeight > list.scrollTop + list.clientHeight) {
        list.scrollTop = top - list.clientHeight / 3;
      }
      show(found[at].question, at + 1);
    }
    function filter() {
      const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
      const want = $("which").value;
      found.forEach((entry, i) => {
        const right = want === "all" || (want === "solved") === entry.solved;
        options[i].hidden = !(right && words.every((word) => entry.words.includes(word)));
      });
      const left = visible();
      $("count").textContent = `${left.length} of ${found.length} shown`;
      if (left.length && !left.includes(at)) choose(left[0]);
    }
    function keys(event) {
      const left = visible();
      const place = left.indexOf(at);
      const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: left.length - 1 }[event.key];
      if (to === undefined || (event.target !== list && to !== place + 1 && to !== place - 1) || !left.length) return;
      event.preventDefault();
      choose(left[Math.min(left.length - 1, Math.max(0, to))]);
    }
    list.addEventListener("keydown", keys);
    $("find").addEventListener("keydown", keys);
    $("find").addEventListener("input", filter);
    $("which").addEventListener("change", filter);
    $("pick").addEventListener("submit", (event) => event.preventDefault());
    filter();
  }

  // ----------------------------------------------------------------------------- training curve

  function curve() {
    const plot = $("plot");
    if (!plot) return;
    const { steps, series } = data.curve;
    const rule = make("div", { className: "rule", hidden: true });
    plot.append(rule);
    const low = steps[0];
    const span = Math.max(1, steps.at(-1) - low);
    let at = steps.length - 1;
    function read(i) {
      at = Math.min(steps.length - 1, Math.max(0, i));
      rule.hidden = false;
      rule.style.left = `${(100 * (steps[at] - low)) / span}%`;
      const values = Object.entries(series).map(([name, of]) => `${name} ${of[at] === null ? "–" : of[at].toFixed(3)}`);
      $("plot-at").textContent = `step ${steps[at]}: ${values.join(", ")}`;
    }
    read(at);
    rule.hidden = true;
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const wanted = low + (span * (event.clientX - box.left)) / box.width;
      read(steps.reduce((best, value, i) => (Math.abs(value - wanted) < Math.abs(steps[best] - wanted) ? i : best), 0));
    });
    plot.addEventListener("keydown", (event) => {
      const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!move) return;
      event.preventDefault();
      read(at + move);
    });
  }

  // ----------------------------------------------------------------------------------- rollouts

  function rollout(sample) {
    const names = [...sample.hit.map((name) => ["hit", "✓", name]), ...sample.missed.map((name) => ["missed", "✗", name])];
    const outcome = sample.outcome === null ? null : sample.outcome > 0;
    return make("article", { className: "rollout" },
      make("header", {}, verdict(outcome), make("span", { className: "soft num" },
        `rubric ${sample.rubric.toFixed(2)}${sample.reward === null ? "" : `, reward ${sample.reward.toFixed(2)}`}${sample.problem ? `, ${sample.problem}` : ""}`)),
      make("p", { dir: "auto" }, sample.text),
      make("div", { className: "chips" }, ...names.map(([kind, sign, name]) =>
        make("span", { className: `name ${kind}`, title: kind === "hit" ? "named" : "missed" }, `${sign} `, isolate(name)))));
  }

  function rollouts() {
    const choice = $("group");
    if (!choice) return;
    choice.replaceChildren(...data.rollouts.map((group, i) => make("option", { value: String(i) }, group.label)));
    const draw = () => {
      const group = data.rollouts[Number(choice.value)];
      $("asked").textContent = group.question;
      $("expected").textContent = group.answer;
      $("samples").replaceChildren(...group.samples.map(rollout));
    };
    choice.addEventListener("change", draw);
    draw();
  }

  inspector();
  curve();
  rollouts();
})();
