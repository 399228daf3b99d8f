// Renders /openapi.json and lets a person call each operation. No library, nothing from another host.
"use strict";

let token = null;
let consistency = null;
let schema = null;

const make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
};

const pretty = (value) => JSON.stringify(value, null, 2);

// randomUUID is only there on https and localhost.
const newKey = () =>
  crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint32Array(4))).join("-");

const referred = (node) => {
  const name = node && node.$ref && node.$ref.split("/").pop();
  return name ? schema.components.schemas[name] : node;
};

async function signIn(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const answer = await fetch("/v1/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ email: form.get("email"), password: form.get("password") }),
  });
  const body = await answer.json();
  token = answer.ok ? body.access_token : null;
  const shown = answer.ok ? `Signed in as ${body.user.display_name}` : body.title;
  document.getElementById("signed-in").textContent = shown;
}

function parameterRow(parameter) {
  const kind = parameter.schema || {};
  const initial = parameter.in === "path" ? parameter.example : null;
  const input = make("input", {
    name: `${parameter.in}:${parameter.name}`,
    placeholder: kind.pattern || kind.type || "",
    value: initial,
  });
  const text = parameter.description || "";
  const required = parameter.required ? " (required)" : "";
  return make("tr", {}, make("td", {}, make("code", {}, parameter.name), ` ${parameter.in}${required}`),
    make("td", {}, input), make("td", {}, text));
}

function requestOf(path, operation, form) {
  const headers = { Accept: "application/json" };
  const query = new URLSearchParams();
  let url = path;
  for (const input of form.querySelectorAll("input")) {
    if (!input.value) continue;
    const [place, name] = input.name.split(":");
    if (place === "path") url = url.replace(`{${name}}`, encodeURIComponent(input.value));
    if (place === "query") query.append(name, input.value);
    if (place === "header") headers[name] = input.value;
  }
  if (token) headers.Authorization = `Bearer ${token}`;
  if (consistency && !headers["Consistency-Token"]) headers["Consistency-Token"] = consistency;
  const needsKey = (operation.parameters || []).some((p) => p.name === "Idempotency-Key");
  if (needsKey && !headers["Idempotency-Key"]) headers["Idempotency-Key"] = newKey();
  const text = form.querySelector("textarea");
  if (text) headers["Content-Type"] = "application/json";
  return { url: query.size ? `${url}?${query}` : url, headers, body: text ? text.value : undefined };
}

async function call(method, path, operation, form, output) {
  const { url, headers, body } = requestOf(path, operation, form);
  const started = performance.now();
  const answer = await fetch(url, { method: method.toUpperCase(), headers, body });
  const took = Math.round(performance.now() - started);
  const text = await answer.text();
  const newer = answer.headers.get("Consistency-Token");
  // They sort as text: the greater one has seen more.
  if (newer && (!consistency || newer > consistency)) consistency = newer;
  let shown = text;
  try { shown = pretty(JSON.parse(text)); } catch { /* not JSON: as it came */ }
  const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  output.replaceChildren(
    make("p", {}, make("span", { class: "status" }, `${answer.status} ${answer.statusText}`), ` in ${took} ms`),
    make("pre", {}, `${lines}\n\n${shown}`),
  );
}

function bodyOf(operation) {
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  if (!content) return null;
  const text = make("textarea", { spellcheck: "false", "aria-label": "Body" });
  text.value = pretty(content.example ?? {});
  const fields = referred(content.schema);
  return make("div", {}, make("h4", {}, "Body"), text,
    make("details", {}, make("summary", {}, "Schema"), make("pre", {}, pretty(fields))));
}

function operationOf(method, path, operation) {
  const inside = make("div");
  const entry = make("details", { "data-text": `${method} ${path} ${operation.summary || ""}`.toLowerCase() },
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("span", { class: "path" }, path), make("span", { class: "what" }, operation.summary || "")), inside);
  // Filled when it is opened first: there are many.
  entry.addEventListener("toggle", () => {
    if (inside.childElementCount) return;
    const form = make("div");
    const parameters = operation.parameters || [];
    if (parameters.length) form.append(make("table", {}, ...parameters.map(parameterRow)));
    const body = bodyOf(operation);
    if (body) form.append(body);
    const output = make("div", { "aria-live": "polite" });
    const button = make("button", { onclick: () => call(method, path, operation, form, output) }, "Call");
    inside.append(make("p", {}, operation.description || ""), form, make("p", {}, button), output);
  });
  return entry;
}

function find(event) {
  const wanted = event.target.value.toLowerCase();
  for (const entry of document.querySelectorAll("[data-text]")) {
    entry.hidden = !entry.dataset.text.includes(wanted);
  }
}

async function start() {
  schema = await (await fetch("/openapi.json")).json();
  const groups = new Map();
  for (const [path, methods] of Object.entries(schema.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationOf(method, path, operation));
    }
  }
  const main = document.getElementById("operations");
  main.replaceChildren(...[...groups].flatMap(([tag, entries]) => [make("h2", {}, tag), ...entries]));
}

document.getElementById("sign-in").addEventListener("submit", signIn);
document.getElementById("find").addEventListener("input", find);
start();
