import { MemoryCoordination } from '@lucid-sessions/pipeline';
import { coordinationSuite } from '@lucid-sessions/pipeline/suites';

coordinationSuite('memory', async () => new MemoryCoordination());
