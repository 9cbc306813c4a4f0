/** Answers to a conversation, streamed. */
import type { ChatJobs, ChatService } from '../../src/protocol/chat';
import type { ChatStore } from '../../src/storage/indexeddb';
import { answerWith } from '../models/answering';
import type { GpuModels } from '../models/gpu-models';
import type { JobHandlers } from '../jobs/job-host';
import { modelKey } from '../models/sources';
import type { TextLink } from '../jobs/text-link';
import type { Training } from '../runs/training';
import { storageOf } from '../models/weight-storage';

export function chatService(chats: ChatStore): ChatService {
  return {
    read: (chat) => chats.read(chat),
    keepTurn: (chat, index, turn) => chats.keepTurn(chat, index, turn),
    keepHead: (chat, head) => chats.keepHead(chat, head),
    clear: (chat) => chats.clear(chat),
  };
}

export function chatJobs(models: GpuModels, training: Training, text: TextLink): JobHandlers<ChatJobs> {
  return {
    'chat.answer': async (request, { signal, report }) => {
      const { model, runId, messages } = request;
      const speaker = training.speakerOf(runId);
      // The template of the model is somebody else's program: the text worker runs it.
      const ids = await text.run('prompts.chat', { model, runId, messages }, signal);
      const prompt = { kind: 'tokens', ids, opensTurn: true } as const;
      const onText = (piece: string) => report({ kind: 'text', piece });
      // The run holds its model and its folder by itself.
      if (speaker) return answerWith(speaker, prompt, request, onText, signal);
      return models.use({ model, runId }, async () => {
        const onNotice = (message: string) => report({ kind: 'notice', message });
        const storage = storageOf(request.storage);
        const speakers = { ...(await models.speakers(model, runId, onNotice)), storage };
        const key = { model: modelKey(model), runId };
        return models.answering.answer(key, speakers, ids, request, { onText, onNotice }, signal);
      });
    },
  };
}
