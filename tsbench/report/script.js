(function () {
  "use strict";
  var root = document.documentElement, pages = Array.from(document.querySelectorAll(".page"));
  root.classList.add("js");

  // One page at a time: that which holds what the address names, else the overview.
  function route(event) {
    var named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    var page = (named && named.closest(".page")) || pages[0];
    pages.forEach(function (other) { other.classList.toggle("current", other === page); });
    root.classList.toggle("whole", page === pages[0]);
    document.querySelectorAll("nav a").forEach(function (link) {
      if (link.getAttribute("href") === "#" + page.id) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    var title = page.querySelector("h2");
    document.title = title.textContent + " - tsbench report";
    if (event) { title.tabIndex = -1; title.focus({preventScroll: true}); window.scrollTo(0, 0); }
  }
  window.addEventListener("hashchange", route);
  route();
  window.addEventListener("load", function () { window.scrollTo(0, 0); });  // the browser went to the section itself

  // Sort by a column: numbers by value (`0.37 ± 0.01` by its first), words by letter, what is missing always last.
  var NUMBER = /^[<~]?\s*([+-]?[\d,]*\.?\d+(?:e[+-]?\d+)?)(?![\w.-])/i;
  function value(row, column) {
    var text = row.cells[column].textContent.trim(), found = NUMBER.exec(text);
    return {text: text === "-" ? "" : text, number: found ? parseFloat(found[1].replace(/,/g, "")) : NaN};
  }
  function sort(table, head) {
    var column = head.cellIndex, body = table.tBodies[0], up = head.getAttribute("aria-sort") !== "ascending";
    var rows = Array.from(body.rows).map(function (row) { return [value(row, column), row]; });
    var numeric = rows.every(function (r) { return r[0].text === "" || !isNaN(r[0].number); });
    rows.sort(function (a, b) {
      var x = a[0], y = b[0];
      if (!x.text || !y.text) return (x.text ? 0 : 1) - (y.text ? 0 : 1);
      var order = numeric ? x.number - y.number : x.text.localeCompare(y.text, "en", {numeric: true});
      return up ? order : -order;
    }).forEach(function (r) { body.appendChild(r[1]); });
    Array.from(head.parentNode.cells).forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
  }
  document.querySelectorAll("table.sortable th").forEach(function (head) {
    if (!head.textContent) return;
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", function () { sort(head.closest("table"), head); });
  });

  // Filters hide rows and drawings whose family, data set or model does not match.
  var form = document.getElementById("filters"), said = document.getElementById("hidden-rows");
  var marked = Array.from(document.querySelectorAll("[data-family], [data-dataset], [data-model]"));
  function filter() {
    var family = form.elements.family.value, told = form.elements.told.checked, generated = form.elements.generated.checked;
    var dataset = form.elements.dataset.value.trim().toLowerCase(), model = form.elements.model.value.trim().toLowerCase();
    var hidden = 0;
    marked.forEach(function (part) {
      var d = part.dataset;
      var out = (family && d.family !== undefined && d.family !== family)
        || (dataset && d.dataset !== undefined && !d.dataset.toLowerCase().includes(dataset))
        || (model && d.model !== undefined && !d.model.toLowerCase().includes(model))
        || (told && d.told !== undefined) || (generated && d.generated !== undefined);
      part.classList.toggle("filtered", Boolean(out));
      hidden += out ? 1 : 0;
    });
    said.textContent = hidden ? hidden + " rows and drawings hidden in the whole report" : "";
  }
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("submit", function (event) { event.preventDefault(); });

  // Print what is folded, too; fold it again afterwards.
  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach(function (part) { part.open = true; });
  });
  window.addEventListener("afterprint", function () { opened.forEach(function (part) { part.open = false; }); });
})();
