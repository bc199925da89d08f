"use strict";

// The state of a page stands in its address, after "#". Here: which figure, and the order of
// photographs. `photographs` comes from photographs.js.

const Address = {
  read() {
    return new URLSearchParams(location.hash.slice(1));
  },

  write(changes) {
    const state = this.read();
    for (const [key, value] of Object.entries(changes)) {
      state.set(key, value);
    }
    history.replaceState(null, "", `#${state}`);
  },

  // The address of another page, with the order (and nothing else) carried along.
  orderedLink(page) {
    const state = this.read();
    const kept = ["metric", "by", "order", "left", "right"].filter((key) => state.has(key));
    const carried = new URLSearchParams(kept.map((key) => [key, state.get(key)]));
    return kept.length ? `${page}#${carried}` : page;
  },
};

class Order {
  static NAME = -1; // instead of the index of a column: the order of the files

  static read() {
    const state = Address.read();
    const metrics = photographs.metrics;
    const metric = metrics.find((each) => each.key === state.get("metric")) ?? metrics[0];
    const column = photographs.columns.findIndex((each) => each.title === state.get("by"));
    return new Order(metric, column, state.get("order") === "descending");
  }

  constructor(metric, column, descending) {
    this.metric = metric;
    this.column = column;
    this.descending = descending;
  }

  value(index) {
    return photographs.photographs[index].figures[this.metric.key][this.column];
  }

  // Indices of photographs. Those without the figure come last either way.
  indices() {
    const all = photographs.photographs.map((_, index) => index);
    const sign = this.descending ? -1 : 1;
    if (this.column === Order.NAME) {
      return this.descending ? all.reverse() : all;
    }
    return all.sort((one, other) => {
      const [a, b] = [this.value(one), this.value(other)];
      if (a === b) return one - other;
      if (a === null) return 1;
      if (b === null) return -1;
      return a < b ? -sign : sign;
    });
  }

  get direction() {
    return this.descending ? "descending" : "ascending";
  }

  // What a first click asks for: failures first.
  static worstFirst(metric) {
    return metric.better === "lower";
  }

  get words() {
    if (this.column === Order.NAME) {
      return this.descending ? "last file first" : "in the order of the files";
    }
    const { title, signed } = photographs.columns[this.column];
    const worst = this.descending === Order.worstFirst(this.metric);
    const what = signed ? `difference ${title} in ${this.metric.title}` : `${this.metric.title} of ${title}`;
    return `by ${what}, ${worst ? "worst" : "best"} first`;
  }
}
