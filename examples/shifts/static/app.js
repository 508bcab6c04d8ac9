const byId = (id) => document.getElementById(id);
const week = document.querySelector("[name=week]");
let token = sessionStorage.getItem("token");

async function ask(path, options = {}) {
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(path, { ...options, headers });
  const said = await answer.json();
  if (!answer.ok) throw new Error(typeof said.detail === "string" ? said.detail : answer.statusText);
  return said;
}

// Shows what went wrong, and nothing else.
const guarded = (work) => async (event) => {
  event?.preventDefault();
  byId("problem").textContent = "";
  try { await work(event); } catch (error) { byId("problem").textContent = error.message; }
};

const show = guarded(async () => {
  const found = await ask(`/api/shifts?week=${week.value}`);
  byId("login").hidden = true;
  byId("week").hidden = false;
  byId("summary").textContent = `${found.workplace.name}, ${found.workplace.city}. You work ${found.my_hours} of ` +
    `${found.my_weekly_hours} hours; ${found.unread} unread.`;
  document.querySelector("tbody").replaceChildren(...found.shifts.map((shift) => {
    const row = document.createElement("tr");
    const when = new Date(shift.starts_at).toLocaleString();
    for (const text of [when, shift.user_name, shift.role, shift.note]) row.insertCell().textContent = text;
    return row;
  }));
});

byId("login").addEventListener("submit", guarded(async (event) => {
  const given = Object.fromEntries(new FormData(event.target));
  ({ token } = await ask("/api/login", { method: "POST", body: JSON.stringify(given) }));
  sessionStorage.setItem("token", token);
  await show();
}));
week.addEventListener("change", show);
week.value = "2026-W47";
if (token) show();
