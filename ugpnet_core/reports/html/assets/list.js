"use strict";

// The list of photographs: which figures and pictures it shows, and in which order.

{
  const table = document.getElementById("list");
  const rows = [...table.tBodies[0].rows];
  const heads = [...table.querySelectorAll("button.sort")];
  const metricChoice = document.getElementById("metric");
  const pictureChoice = document.getElementById("picture");
  // From this page to the folder of the photographs' pages.
  const base = rows[0].querySelector("a").getAttribute("href").replace(/[^/]*$/, "");

  const shown = (value, digits, signed) => {
    if (value === null) return "–";
    const sign = value < 0 ? "−" : signed && value > 0 ? "+" : "";
    const size = Math.abs(value);
    return sign + (size === Infinity ? "∞" : size.toFixed(digits));
  };

  const columnOf = (head) =>
    head.dataset.column === "name" ? Order.NAME : Number(head.dataset.column);

  const draw = () => {
    const order = Order.read();
    const { metric } = order;
    metricChoice.value = metric.key;
    const picture = Address.read().get("picture");
    if (picture && [...pictureChoice.options].some((each) => each.value === picture)) {
      pictureChoice.value = picture;
    }
    rows.forEach((row, index) => {
      const photograph = photographs.photographs[index];
      const image = row.querySelector("img");
      const source = photograph.small[pictureChoice.value];
      image.classList.toggle("missing", source === undefined);
      if (source !== undefined && image.getAttribute("src") !== base + source) {
        image.src = base + source;
      }
      row.querySelector("a").href = Address.orderedLink(base + photograph.page);
      photograph.figures[metric.key].forEach((value, column) => {
        const { signed } = photographs.columns[column];
        const figure = row.cells[column + 1].querySelector(".figure");
        figure.textContent = shown(value, metric.digits, signed);
      });
    });
    table.tBodies[0].append(...order.indices().map((index) => rows[index]));
    for (const head of heads) {
      const cell = head.closest("th");
      if (columnOf(head) === order.column) {
        cell.setAttribute("aria-sort", order.direction);
      } else {
        cell.removeAttribute("aria-sort");
      }
    }
    const count = rows.length === 1 ? "1 photograph" : `${rows.length} photographs`;
    document.getElementById("order").textContent = `${count}, ${order.words}`;
    document.getElementById("direction").textContent =
      `${metric.title}: ${metric.better} is better.`;
  };

  for (const head of heads) {
    head.addEventListener("click", () => {
      const order = Order.read();
      const column = columnOf(head);
      const first = column === Order.NAME ? false : Order.worstFirst(order.metric);
      const descending = column === order.column ? !order.descending : first;
      Address.write({
        metric: order.metric.key,
        by: column === Order.NAME ? "" : photographs.columns[column].title,
        order: descending ? "descending" : "ascending",
      });
      draw();
    });
  }

  metricChoice.addEventListener("change", () => {
    // The worst stay first, or the best, though the next figure may count the other way round.
    const order = Order.read();
    const metric = photographs.metrics.find((each) => each.key === metricChoice.value);
    const turned = order.column !== Order.NAME && metric.better !== order.metric.better;
    Address.write({
      metric: metric.key,
      order: order.descending !== turned ? "descending" : "ascending",
    });
    draw();
  });

  pictureChoice.addEventListener("change", () => {
    Address.write({ picture: pictureChoice.value });
    draw();
  });

  window.addEventListener("hashchange", draw);
  document.getElementById("list-controls").hidden = false;
  draw();
}
