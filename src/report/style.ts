/** The look of a report: one column that fits a phone, wide tables scroll by themselves, ink on white when printed. */
export const pageStyle = `
:root{color-scheme:light dark;--back:#f6f8fa;--card:#fff;--ink:#1f2328;--soft:#59636e;--line:#d8dee4;--accent:#0b62d6;--warn:#9a4b00;--warnback:#fff4e5}
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--card:#161b22;--ink:#e6edf3;--soft:#9aa5b1;--line:#313840;--accent:#5aa2ff;--warn:#ffc078;--warnback:#33240f}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 64px}
h1{margin:0;font-size:28px;line-height:1.2;overflow-wrap:anywhere}
h2{margin:36px 0 12px;font-size:18px}
p{margin:8px 0}
.soft{color:var(--soft)}
.outcome{margin-top:14px}
.outcome.warn{padding:10px 14px;border-radius:8px;background:var(--warnback);color:var(--warn)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(148px,1fr));gap:12px;margin:20px 0 0;padding:0}
.figures div,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}
.figures div{padding:12px 14px}
.figures dt{color:var(--soft);font-size:13px}
.figures dd{margin:2px 0 0;font-size:21px;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.figures dd small{display:block;font-size:13px;font-weight:400;color:var(--soft)}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr));gap:16px}
.charts .panel{padding:14px 14px 8px}
.scroll{overflow:auto;max-height:430px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:6px 14px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--line)}
th{position:sticky;top:0;background:var(--card);color:var(--soft);font-size:13px;font-weight:600}
tbody tr:last-child td{border-bottom:0}
.text{text-align:left}
td.text{white-space:normal;overflow-wrap:anywhere}
tr.best td{color:var(--accent);font-weight:600}
tfoot td{font-weight:600;border-top:1px solid var(--line);border-bottom:0}
.two{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:16px}
.notes{white-space:pre-wrap}
.panel.notes{padding:12px 14px}
.panel.drawing{padding:14px;margin-top:16px}
code{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
footer{margin-top:40px;color:var(--soft);font-size:13px}
@media print{body{background:none}.scroll{max-height:none}h2{break-after:avoid}.panel{break-inside:avoid}}
`.trim()
