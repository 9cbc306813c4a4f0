/** Which Hub is asked, and what is found there. */
import { checkSecret } from '../../src/connections/endpoint';
import type { HubJobs, HubService } from '../../src/protocol/hub';
import type { HubDesk } from '../hub/hub';
import type { JobHandlers } from '../jobs/job-host';
import { orCancelled } from '../jobs/jobs';

export function hubService(desk: HubDesk): HubService {
  return {
    use: async (settings) => desk.use(settings),
    checkEndpoint: (endpoint, ask) => desk.checkEndpoint(endpoint, ask),
    checkToken: async (token) => void checkSecret(token),
  };
}

export function hubJobs(desk: HubDesk): JobHandlers<HubJobs> {
  return {
    'hub.find': ({ query }, { signal }) => orCancelled(desk.find(query, signal), signal),
    'hub.survey': async ({ names, ...run }, { signal, report }) => {
      await desk.survey(names, run, (survey) => report({ kind: 'survey', survey }), signal);
      return null;
    },
  };
}
