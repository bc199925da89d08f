"use strict";

// The page of a photograph: which two pictures the stage shows, keys, and the way to the next one.

{
  const find = (id) => document.getElementById(id);
  const stage = find("stage");
  const split = find("split");
  const choices = { left: find("left"), right: find("right") };
  const name = document.querySelector("h1").textContent;
  const page = location.pathname.split("/").pop();

  const draw = () => {
    for (const side of ["left", "right"]) {
      const chosen = choices[side].selectedOptions[0];
      find(`${side}-picture`).src = chosen.dataset.file;
      find(`${side}-picture`).alt = `${chosen.value} of ${name}`;
    }
    const share = Number(split.value);
    stage.style.setProperty("--split", `${share}%`);
    const words = `${share} % ${choices.left.value}, ${100 - share} % ${choices.right.value}`;
    split.setAttribute("aria-valuetext", words);
  };

  // Pictures that were chosen on the page before, where this photograph has them.
  const readChoices = () => {
    for (const [side, choice] of Object.entries(choices)) {
      const wanted = Address.read().get(side);
      if ([...choice.options].some((each) => each.value === wanted)) choice.value = wanted;
    }
  };

  const linkNeighbours = () => {
    const order = Order.read().indices();
    const pages = order.map((index) => photographs.photographs[index].page);
    const place = pages.indexOf(page);
    const targets = { previous: pages[place - 1], next: pages[place + 1] };
    for (const [id, target] of Object.entries(targets)) {
      const link = find(id);
      if (target === undefined) {
        link.removeAttribute("href");
        link.setAttribute("role", "link");
        link.setAttribute("aria-disabled", "true");
      } else {
        link.href = Address.orderedLink(target);
        link.removeAttribute("aria-disabled");
      }
    }
    find("position").textContent = `${place + 1} of ${pages.length}`;
    find("all").href = Address.orderedLink(find("all").getAttribute("href").split("#")[0]);
  };

  const choose = () => {
    Address.write({ left: choices.left.value, right: choices.right.value });
    linkNeighbours();
    draw();
  };

  const swap = () => {
    const left = choices.left.value;
    choices.left.value = choices.right.value;
    choices.right.value = left;
    choose();
  };

  const readAddress = () => {
    readChoices();
    linkNeighbours();
    draw();
  };

  find("viewer").hidden = false;
  const view = new View(stage, (zoom) => {
    find("zoom-level").textContent = `${Number(zoom.toFixed(1))}×`;
    find("zoom-out").disabled = zoom === 1;
    find("zoom-in").disabled = zoom === View.LARGEST;
  });
  listenToPointers(stage, find("divider"), view, split);
  split.addEventListener("input", draw);
  choices.left.addEventListener("change", choose);
  choices.right.addEventListener("change", choose);
  find("swap").addEventListener("click", swap);
  window.addEventListener("hashchange", readAddress);

  const actions = {
    "zoom-in": () => view.zoomTo(view.zoom * 1.5),
    "zoom-out": () => view.zoomTo(view.zoom / 1.5),
    "zoom-fit": () => view.zoomTo(1),
  };
  for (const [id, action] of Object.entries(actions)) {
    find(id).addEventListener("click", action);
  }

  const keys = {
    "+": actions["zoom-in"],
    "=": actions["zoom-in"],
    "-": actions["zoom-out"],
    "0": actions["zoom-fit"],
    s: swap,
    p: () => find("previous").click(),
    n: () => find("next").click(),
  };
  const STEP = 0.1; // of the stage
  const moves = {
    ArrowLeft: [STEP, 0],
    ArrowRight: [-STEP, 0],
    ArrowUp: [0, STEP],
    ArrowDown: [0, -STEP],
  };

  document.addEventListener("keydown", (event) => {
    // A list of choices has its own use for letters.
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select")) return;
    if (event.shiftKey && event.key in moves) {
      event.preventDefault();
      view.pan(...moves[event.key]);
    } else if (event.key in keys) {
      event.preventDefault();
      keys[event.key]();
    }
  });

  readAddress();
}
