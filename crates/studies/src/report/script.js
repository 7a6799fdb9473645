"use strict";
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.value;
    return given === undefined ? cell.textContent.trim() : Number(given);
  };
  const order = (a, b, sign) => {
    if (typeof a === "number" && typeof b === "number") {
      return (Number.isNaN(a) - Number.isNaN(b)) || sign * (a - b);
    }
    return sign * String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.title = "Sort by this column";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => order(a, b, down ? -1 : 1));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
  for (const drawing of document.querySelectorAll(".graph svg")) {
    const links = [...drawing.querySelectorAll(".link[data-from]")];
    for (const node of drawing.querySelectorAll(".node")) {
      const own = links.filter(({ dataset: { from, to } }) =>
        from === node.dataset.node || to === node.dataset.node);
      const light = (on) => {
        drawing.classList.toggle("faded", on);
        own.forEach((link) => link.classList.toggle("lit", on));
      };
      node.addEventListener("pointerenter", () => light(true));
      node.addEventListener("pointerleave", () => light(false));
    }
  }
  const folded = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open]):not(.twin)")) {
      part.open = true;
      folded.push(part);
    }
  });
  addEventListener("afterprint", () => {
    for (const part of folded.splice(0)) part.open = false;
  });
})();
