import { chartStyle } from './chart.js'
import { pageStyle } from './style.js'
import { escapeText } from './text.js'

/** `2026-05-04 13:37 UTC` */
function timestamp(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/**
 * A page that is complete in itself: it loads nothing and runs no script.
 *
 * @param parts HTML, below the title and the date
 * @param embedded whether images are part of it
 */
export function htmlPage(title: string, date: Date, parts: readonly string[], embedded = false): string {
  const body = [
    `<header><h1>${escapeText(title)}</h1><p class="soft">${timestamp(date)}</p></header>`,
    ...parts,
    '<footer>Written by Krylov. This file is complete in itself: it loads nothing and runs no script.</footer>',
  ]
  return [
    '<!doctype html>',
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    // Whatever a title or note may hold, the page can neither load nor run anything; images are part of it.
    `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; ${embedded ? 'img-src data:; ' : ''}style-src 'unsafe-inline'">`,
    `<title>${escapeText(title)}</title>`,
    `<style>${pageStyle}\n${chartStyle}</style></head>`,
    `<body><main>${body.join('\n')}</main></body></html>\n`,
  ].join('\n')
}
