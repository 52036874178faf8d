// The version, as the package says it: the bundler replaces the import by the text.

import manifest from '../../package.json' with { type: 'json' };

export const version: string = manifest.version;
