/** Where the page begins in the browser. */
import { loadCharts } from "./chart.ts";
import { html, render } from "./html.ts";
import { applyTheme, Shell } from "./shell.ts";
import { followLinks } from "./url.ts";

applyTheme();
followLinks();
const root = document.querySelector("#page");
if (root !== null) render(html`<${Shell} />`, root);
// While the first answers are under way.
void loadCharts();
