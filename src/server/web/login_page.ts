// The page that asks for the token, and one that leads on.
import { createHash } from "node:crypto";
import { escaped } from "../../report/web/static_page.js";

const style = `:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-content:center;background:light-dark(#f4f6f8,#12151a);color:light-dark(#171c24,#e8ecf1);font:16px/1.5 system-ui,sans-serif}
form{display:grid;gap:12px;width:min(320px,88vw)}
h1{margin:0;font-size:1.4rem}
p{margin:0;color:light-dark(#a83f00,#f2a65a)}
label{display:grid;gap:4px}
input,button{font:inherit;color:inherit;padding:9px 12px;border-radius:8px;border:1px solid light-dark(#8a94a3,#5b6675);background:light-dark(#fff,#1b2027)}
button{cursor:pointer;background:light-dark(#0067a5,#5cb6ea);border-color:transparent;color:light-dark(#fff,#12151a);font-weight:600}
:focus-visible{outline:2px solid light-dark(#0067a5,#5cb6ea);outline-offset:2px}`;

const head = (more: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sdmae</title>
${more}
</head>
<body>`;

/** The form. @returns it, and its style's name in a content security policy */
export function loginPage(error?: string): { html: string; style: string } {
  const why = error === undefined ? "" : `<p role="alert">${escaped(error)}</p>\n`;
  const html = `${head(`<style>${style}</style>`)}
<form method="post" action="/login">
<h1>sdmae</h1>
${why}<label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Sign in</button>
</form>
</body>
</html>
`;
  return { html, style: `'sha256-${createHash("sha256").update(style).digest("base64")}'` };
}

/** A page that asks for another one, by itself. @param path of this site */
export function refreshPage(path: string): string {
  return `${head(`<meta http-equiv="refresh" content="0; url=${escaped(path)}">`)}<a href="${escaped(path)}">sdmae</a></body>\n</html>\n`;
}
