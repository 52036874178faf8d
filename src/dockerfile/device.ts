// `RUN --device=name[,required]`: one CSV record (BuildKit: instructions/commands_rundevice.go). Takes no variables.

import { parseBool } from '../base/parse-bool.ts';
import { readRecord } from './csv.ts';
import { dockerfileError, within } from './errors.ts';
import { quote } from './go-text.ts';
import { suggestion } from './suggest.ts';

export interface DeviceRequest {
  /** `vendor/class`, with `=device` or `=*`, or a class; what it means is found out when it is asked for. */
  readonly name: string;
  readonly required: boolean;
}

export function parseDevice(value: string): DeviceRequest {
  const fields = readRecord(value, () => wrong(`failed to parse csv devices: stray or missing quote in ${quote(value)}`));
  const request = { name: '', required: false };
  for (const { text, span } of fields) within(span, () => setField(request, text));
  if (request.name === '') throw wrong('a device needs a name');
  return request;
}

function setField(request: { name: string; required: boolean }, field: string): void {
  const at = field.indexOf('=');
  const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
  const text = at < 0 ? undefined : field.slice(at + 1);
  if (key === 'required') {
    const given = parseBool(text ?? 'true');
    if (given === undefined) throw wrong(`invalid value for ${key}: ${text}`);
    request.required = given;
  } else if (key === 'name' && text !== undefined) {
    if (request.name !== '') throw wrong(`device name already set to ${request.name}`);
    request.name = text;
  } else if (request.name === '') {
    request.name = field;
  } else if (text === undefined) {
    throw wrong(`invalid field '${field}' must be a key=value pair`);
  } else {
    throw wrong(`unexpected key '${key}' in '${field}'${suggestion(key, ['name', 'required'])}`);
  }
}

const wrong = (message: string) => dockerfileError('device', message);
