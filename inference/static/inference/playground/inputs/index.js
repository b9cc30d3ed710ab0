/**
 * The form for an input is in the module of its name: one per `form` of the classes in `inference/tasks/inputs/`.
 *
 * Each exports `create({description, changed, submit, stop}) -> Form`. `submit()` asks, as the button does.
 *
 * @typedef {object} Form
 * @property {HTMLElement} element
 * @property {() => any} value what goes into `inputs`, with `Blob`s for media; throws `Incomplete`
 * @property {(value: any) => void} fill shows a value: an example (media in base64), or one that `value()` gave
 * @property {(request: any) => View} [view] a form that shows the answers itself, such as a chat
 *
 * A view shows one answer as it comes. `element` is put into the answer's panel; a form's view has none.
 *
 * @typedef {object} View
 * @property {HTMLElement} [element]
 * @property {boolean} [passing] the answer takes its place when it is there
 * @property {(frame: any) => void} [started]
 * @property {(sentence: string) => void} [waiting] what is waited for
 * @property {(frame: {index: number, token: number, text: string, logprob?: number}) => void} [token]
 * @property {(answer: import("../connection.js").Answer) => void} done
 * @property {(error: import("../errors.js").AskError) => void} [failed] also where it was stopped
 */

/**
 * @param {any} options
 * @returns {Promise<Form>}
 */
export async function createInput(options) {
  const { create } = await import(`./${options.description.input.form}.js`);
  return create(options);
}
