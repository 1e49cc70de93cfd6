// Tools of the agent. Payments are written to a file, which shows what was paid, and how often.

import { appendFile } from "node:fs/promises";

const invoices = {
  "INV-17": { from: "Papageno & Daughters", euros: 1200 },
  "INV-18": { from: "Sarastro Ltd", euros: 99_000 },
};

export const tools = {
  readInvoice: {
    dangerous: false,
    run: async ({ invoice }) => `${invoice}: ${invoices[invoice].from} wants ${invoices[invoice].euros} euros`,
  },
  pay: {
    dangerous: true,
    run: async ({ invoice, to, euros }) => {
      const line = `${euros} euros to ${to} for ${invoice}`;
      await appendFile(process.env.PAYMENTS ?? "payments.txt", `${line}\n`);
      return `Paid ${line}.`;
    },
  },
};
