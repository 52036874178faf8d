import { describe, expect, it } from 'vitest';
import { renderTemplate } from '../../../../src/cli/lists/go-template.ts';

const data = {
  Name: 'a',
  Count: 0,
  List: [1, 2],
  Config: { Labels: { 'org.x': 'y', b: 'c' }, Env: ['A=1', 'B=2'], rootfs: { diff_ids: ['sha256:1'] } },
  Images: { 'linux/amd64': { os: 'linux' } },
};
const render = (template: string) => renderTemplate(template, data, { indent: 0 });

describe('a template', () => {
  // As Go's text/template documents them, with docker's json, join, split, title and upper.
  it.each([
    ['plain', 'plain'],
    ['{{.Name}}', 'a'],
    ['{{ .Name }}-{{- " x " -}} - y', 'a- x - y'],
    ['{{json .Config.Labels}}', '{"org.x":"y","b":"c"}'],
    ['{{index .Config.Labels "org.x"}}', 'y'],
    ['{{(index .Images "linux/amd64").OS}}', 'linux'],
    ['{{.Config.RootFS.DiffIDs}}', '[sha256:1]'],
    ['{{index .List 1}}', '2'],
    ['{{range .Config.Env}}{{.}};{{end}}', 'A=1;B=2;'],
    ['{{range $i, $e := .Config.Env}}{{$i}}={{$e}} {{end}}', '0=A=1 1=B=2 '],
    ['{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}},{{end}}', 'b:c,org.x:y,'],
    ['{{range .Config.None}}x{{else}}none{{end}}', 'none'],
    ['{{if .Count}}yes{{else if eq .Name "a" "b"}}a{{else}}no{{end}}', 'a'],
    ['{{if and .Name (not .Count)}}x{{end}}', 'x'],
    ['{{with .Config}}{{len .Env}}{{$.Name}}{{end}}', '2a'],
    ['{{$x := .Name}}{{$x | upper | printf "%-3s|%q"}}', 'A  |"<no value>"'],
    ['{{join .Config.Env ","}} {{index (split "a/b" "/") 1}} {{title "ab c"}}', 'A=1,B=2 b Ab C'],
    ['{{.Config.Labels}}', 'map[b:c org.x:y]'],
    ['{{.Config.Absent}}', '<no value>'],
    ['{{/* nothing */}}{{print 1 "a"}}{{println `b`}}', '1ab\n'],
    ['{{printf "%s %v %d%%" .Name true 3}}', 'a true 3%'],
  ])('%s', (template, text) => {
    expect(render(template)).toBe(text);
  });

  it.each([
    ['{{.Nmae}}', 'there is no .Nmae: there are .Name, .Count, .List, .Config, .Images'],
    ['{{.Name.X}}', `can't evaluate field X in "a"`],
    ['{{nope .Name}}', 'function "nope" is not defined'],
    [`{{${'""'.repeat(200)}`, 'an action has no end: }} is missing'],
    ['{{.Name', 'an action has no end: }} is missing'],
    ['{{if .Name}}', '{{if}} has no {{end}}'],
    ['{{end}}', 'unexpected {{end}}'],
    ['{{index .List 5}}', 'index 5 is out of range of 2'],
    ['{{$y}}', 'undefined variable $y'],
    ['{{range .Name}}{{end}}', 'range goes over lists and maps, not over "a"'],
    ['{{(.Name}}', 'a parenthesis is not closed'],
    ['{{.Name ~}}', 'unexpected "~"'],
  ])('%s is an error', (template, message) => {
    expect(() => render(template)).toThrow(message);
  });
});
