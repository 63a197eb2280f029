// Reads one message in hex from each line of its input with llhttp, the parser of Node, and writes for each what it
// read as one line of JSON, bytes in hex; `null` if llhttp refuses it or it is not complete.
import { createInterface } from 'node:readline'

process.removeAllListeners('warning')
process.on('warning', () => {}) // That the binding is not public is known.
const { HTTPParser, methods } = process.binding('http_parser')

const hex = (text) => Buffer.from(text ?? '', 'latin1').toString('hex')

function read(side, bytes) {
  const parser = new HTTPParser()
  parser.initialize(side === 'request' ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 0, 0)
  let fields = []
  let message = null
  let body = ''
  let complete = false
  parser[HTTPParser.kOnHeaders] = (more) => { fields = fields.concat(more) }
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, more, method, url, status, reason, upgrade, keepAlive) => {
    message = {
      minor, method: side === 'request' ? methods[method] : '',
      target: hex(url), status: status ?? 0, keep_alive: keepAlive, upgrade, fields: fields.concat(more ?? []).map(hex),
    }
    fields = []
    return 0
  }
  parser[HTTPParser.kOnBody] = (data, offset = 0, length = data.length) => {
    body += Buffer.from(data).subarray(offset, offset + length).toString('hex')
  }
  parser[HTTPParser.kOnMessageComplete] = () => { complete = true }
  const used = parser.execute(bytes)
  const failed = typeof used !== 'number'
  parser.finish()
  return message && complete && !failed ? { ...message, body } : null
}

for await (const line of createInterface({ input: process.stdin })) {
  const [side, bytes] = line.split(' ')
  console.log(JSON.stringify(read(side, Buffer.from(bytes, 'hex'))))
}
