// The program of a calibration's page. The page is finished markup; this adds the button for the
// colours.
import { themeToggle } from "../../web/theme.js";

document.querySelector("header")?.append(themeToggle());
