import { h } from '../ui/dom.ts';
import type { Page, PageContext } from '../ui/page.ts';
import { viewingRequests } from '../ui/viewing-requests.ts';

/** Who asks to see recordings, and to whom it is granted now. */
export function requestsPage(context: PageContext): Page {
  const none = h('div', { class: 'card empty' }, 'Nobody asks to see a recording now.');
  return {
    title: 'Requests',
    content: [
      h(
        'div',
        { class: 'heading' },
        h(
          'div',
          { class: 'grow' },
          h('h1', {}, 'Requests to see recordings'),
          h(
            'p',
            { class: 'muted' },
            'What is agreed, refused, given or taken back here is signed into the custody chain of the recording.',
          ),
        ),
      ),
      viewingRequests(context, none),
    ],
  };
}
