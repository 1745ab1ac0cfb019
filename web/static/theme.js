// Runs before the first paint: the chosen look must not flash the other one.
try {
  const theme = localStorage.getItem("docklab.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden; the system's preference holds then.
}
