// Loads the page's module; says so in the page when that fails.
import init from "./docklab-page.js";

init().catch((error) => {
  const main = document.querySelector("main");
  if (main) {
    main.textContent = `The page could not start: ${error}. It needs a browser with WebAssembly; reload to try again.`;
    main.setAttribute("role", "alert");
  }
});
