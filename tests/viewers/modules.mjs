// Node.js 18, as Debian 12 has it, takes the adapters' libraries for CommonJS: their packages do not say what they are.

export async function resolve(specifier, context, next) {
  const found = await next(specifier, context);
  return /\/esm\/|\.es\.js$/.test(found.url) ? { ...found, format: 'module' } : found;
}
